"""The page: whole in itself, readable by everybody, and looked at in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from simulate import simulate_bars

from lstmcli import charts
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS, QUANTILES
from lstmcli.pipeline.prices import in_prices
from lstmcli.report.page import Page, Section, Table, anchor, render
from lstmcli.report.pictures import cone_sketch, picture
from lstmcli.report.prices import TOTAL_RETURN, PriceBasis

EVIL = '<script>alert("x")</script> & \'"'
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--log-level=0"),
]
browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


def forecast(ticker: str, bars: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for step in range(1, 21):
        wide = 0.02 * step**0.5
        row = {
            "recipe": "lstm",
            "calibrated": True,
            "ticker": ticker,
            "made_on": bars.index[-1],
            "step": step,
            "target_on": bars.index[-1] + pd.offsets.BDay(step),
            "last_close": bars["close"].iloc[-1],
            "sigma": 0.01,
        }
        row |= {name: wide * (q - 0.5) for name, q in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)}
        ends = (-0.2, 0.2, -0.4, 0.4, -0.6, 0.6)
        row |= dict(zip(INTERVAL_COLUMNS, (wide * end for end in ends), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def page(tickers: int = 2) -> Page:
    """Return a page with everything on it, and names that would break a careless one."""
    sections = []
    for number in range(tickers):
        ticker = EVIL if number == 0 else f"T{number}"
        bars = simulate_bars(150, seed=number)
        prices = in_prices(forecast(ticker, bars), {ticker: PriceBasis(TOTAL_RETURN)})
        wide, phone = (
            charts.forecast_chart(
                bars, prices, title=ticker, run=EVIL, remark=EVIL, theme=charts.Theme(phone=narrow)
            )
            for narrow in (False, True)
        )
        section = Section(
            ticker,
            anchor(ticker),
            ("-1.41 % to +1.26 %", "77.10 USD", "+0.02 %", "2016-04-15", "82 % of 93", "failed"),
            failed=f"Yahoo said {EVIL}" if number == 0 else None,
            note=EVIL,
            sketch=cone_sketch(bars["close"].to_numpy(), prices),
            answer=EVIL,
            unissued=EVIL,
            price_note=EVIL,
            sentence=f"{EVIL} should lie between 1 and 2.",
            verdict=f"BEATS {EVIL}",
            verdict_lines=[f"Better than {EVIL}.", "Cannot be told from EWMA.", EVIL],
            pictures=[picture(wide, phone=phone, alt=EVIL, name=ticker, schemes=charts.SCHEMES)],
            tables=[
                Table("The forecast", ("session", "median"), ((EVIL, "77.11"), ("5", "77.2"))),
                Table("Folded", ("a", "b"), (("1", "2" * 60),), folded=True),
            ],
            remarks=[EVIL],
            facts=[("run", "20160101T230000Z-lstm-" + "e" * 60), (EVIL, EVIL)],
        )
        sections.append(section)
    return Page(
        title=f"Forecasts of {EVIL}",
        made="Made Friday",
        sentence="1 of 2 forecasts are up to date.",
        overview_head=("80 % cone", "last", "median", "made on", "live", "today"),
        sections=sections,
        colours=charts.SCHEMES,
        failures=[EVIL],
        tables=[Table("Scores", ("recipe", "CRPS"), (("lstm", "0.7"),))],
        remarks=["ok"],
        facts=[("head", "f" * 64)],
    )


class _Outline(HTMLParser):
    """Notes what a reader of the page relies on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def outline(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Outline()
    parser.feed(text)
    return parser.tags


def test_nothing_from_data_becomes_markup():
    text = render(page())
    assert "<script" not in text
    assert text.count(html.escape(EVIL)[:20]) >= 10
    assert {tag for tag, _ in outline(text)} <= {
        *("html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p"),
        *("main", "section", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "img"),
        *("dl", "dt", "dd", "footer", "strong", "details", "summary", "ul", "li"),
        *("picture", "source", "svg", "polygon", "polyline"),
    }
    drawn = page().sections[0].pictures[0]
    assert "<script" not in drawn.svg + str(drawn.phone)


def test_nothing_is_fetched_from_anywhere():
    tags = outline(render(page()))
    for tag, attributes in tags:
        address = attributes.get("src") or attributes.get("href") or attributes.get("srcset") or ""
        assert address.startswith(("data:image/svg+xml;base64,", "#")) or not address, address
        assert not any(name.startswith("on") for name in attributes), tag
    assert any("default-src 'none'" in str(attributes.get("content")) for _, attributes in tags)
    svg = page().sections[0].pictures[0].svg
    assert not re.findall(r"""(?:href|src)=["'](?!#)""", svg.replace("xlink:href", "href"))


def test_a_reader_of_headings_and_pictures_finds_everything():
    tags = outline(render(page()))
    assert [tag for tag, _ in tags].count("h1") == 1
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h\d", tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(attributes["alt"] for tag, attributes in tags if tag == "img")
    assert dict(tags)["html"]["lang"] == "en"
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"] for tag, a in tags if tag == "a"}
    assert {link[1:] for link in links if link and link.startswith("#")} <= set(ids)
    assert all(a.get("scope") for tag, a in tags if tag == "th")


def _luminance(colour: str) -> float:
    colour = colour.lstrip("#")
    colour = "".join(c * 2 for c in colour) if len(colour) == 3 else colour
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_in_light_and_in_dark():
    """Contrast of 4.5 and more, as WCAG 2.2 asks of text."""
    text = render(page())
    for scheme in re.findall(r":root \{([^}]*)\}", text):
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme))
        for name in ("ink", "muted", "bad", "link"):
            for ground in ("paper", "card"):
                light, dark = sorted(
                    (_luminance(colours[name]), _luminance(colours[ground])), reverse=True
                )
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


def test_the_same_page_is_the_same_bytes():
    assert render(page()) == render(page())


def test_charts_follow_the_scheme():
    svg = page().sections[0].pictures[0].svg
    assert "prefers-color-scheme:dark" in svg
    drawn = svg[svg.index("</style>") :]
    assert "var(--cone80)" in drawn
    assert not re.findall(r"#[0-9a-f]{6}", drawn), set(re.findall(r"#[0-9a-f]{6}", drawn))


def browse(tmp_path: Path, address: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


_SEEN = """
const f = document.getElementById("f"); f.onload = () => {
  const page = f.contentDocument, width = page.documentElement.clientWidth;
  page.querySelectorAll("details").forEach(d => d.open = true);
  const hidden = "thead, .skip";  // for those who listen
  const seen = [...page.querySelectorAll("body *")].filter(e => !e.closest(hidden) || width > 768);
  const outside = seen.filter(e => {
    const box = e.getBoundingClientRect();
    return !e.closest(".skip") && box.width && (box.right > width + 1 || box.left < -1)});
  const cut = seen.filter(e => e.scrollWidth > e.clientWidth + 1 &&
    page.defaultView.getComputedStyle(e).overflowX != "visible");
  document.getElementById("told").textContent = JSON.stringify({
    wide: page.documentElement.scrollWidth, outside: outside.map(e => e.tagName),
    cut: cut.map(e => e.tagName), height: page.body.scrollHeight,
    images: [...page.images].every(i => i.complete && i.naturalWidth > 0),
    drawn: [...page.images].map(i => i.naturalWidth)})}
"""


@pytest.mark.browser
@browser
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_of_a_page_is_cut_off_or_scrolled_sideways(tmp_path: Path, width: int):
    frame = (
        f'<iframe id="f" style="width:{width}px;height:900px;border:0" '
        f'srcdoc="{html.escape(render(page()))}"></iframe><p id="told"></p>'
        f"<script>{_SEEN}</script>"
    )
    path = tmp_path / "frame.html"
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{frame}")
    done = browse(tmp_path, path.as_uri(), "--dump-dom", "--virtual-time-budget=5000")
    told = json.loads(re.search(r'<p id="told">({.*?})</p>', done.stdout)[1])
    assert told["wide"] == width
    assert not told["outside"]
    assert not told["cut"]
    assert told["images"]
    # 3.5 inches are 336 pixels: a phone has charts of its own.
    assert {drawn < 400 for drawn in told["drawn"]} == {width < 640}
    assert told["height"] > 900


@pytest.mark.browser
@browser
def test_the_browser_finds_no_error_and_asks_nobody(tmp_path: Path):
    path, log = tmp_path / "report.html", tmp_path / "net.json"
    path.write_text(render(page()))
    done = browse(tmp_path, path.as_uri(), "--dump-dom", f"--log-net-log={log}")
    assert "CONSOLE" not in done.stderr, done.stderr
    asked = re.findall(r'"url":"([^"]*)"', log.read_text())
    # The browser itself calls home when it starts.
    asked = [url for url in asked if not re.match(r"https?://[\w.-]*google", url)]
    assert all(url.startswith(("file:", "data:", "chrome")) for url in asked), asked


@pytest.mark.browser
@browser
def test_the_browser_would_say_so(tmp_path: Path):
    """That the two checks above can fail."""
    path = tmp_path / "bad.html"
    path.write_text("<!DOCTYPE html><script>console.error('seen')</script>")
    assert "CONSOLE" in browse(tmp_path, path.as_uri(), "--dump-dom").stderr
