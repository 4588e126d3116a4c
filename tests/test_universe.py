"""The index of a universe and its pages by template."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from simulate import simulate_bars
from test_report import EVIL, forecast, outline

from lstmcli import charts
from lstmcli.pipeline.prices import in_prices
from lstmcli.report.line_cone import line_cone
from lstmcli.report.page import Section, anchor
from lstmcli.report.pictures import tiny_cone
from lstmcli.report.prices import TOTAL_RETURN, PriceBasis
from lstmcli.report.summary import summary_table
from lstmcli.report.universe import Line, Universe, render_universe

BARS = simulate_bars(150)
PRICES = in_prices(forecast("T", BARS), {"T": PriceBasis(TOTAL_RETURN)})
HEAD = ("next close, 80 %", "in 20 sessions, 80 %", "last close", "next report", "held", "today")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def line(ticker: str, number: int = 0, **said) -> Line:
    """Return the row of a ticker; each number has another range, report and record."""
    stands = {name: said.pop(name, None) for name in ("failed", "stale")}
    cells = ("-1.4 to +1.3 %", "-6.1 to +7.0 %", "77.100 USD", "29 Oct?", "82 % of 93")
    section = Section(
        ticker,
        anchor(ticker),
        (*cells, "failed" if stands["failed"] else "forecast"),
        sketch=tiny_cone(BARS["close"].to_numpy(), PRICES),
        link=f"report/{html.escape(ticker)}.html",
        **stands,
    )
    return Line(section, **{"width": 0.01 * number, "report_in": number, "held": 0.5} | said)


def universe(*lines: Line) -> Universe:
    return Universe(
        title="Forecasts",
        made="Made Friday",
        sentence="All are up to date.",
        overview_head=HEAD,
        lines=lines,
        colours=charts.SCHEMES,
        failures=[EVIL],
        remarks=["ok"],
        facts=[("head", "f" * 64)],
    )


def rows(text: str) -> list[str]:
    """Return the rows of the index as they stand there."""
    return re.findall(r'<tr role="row" id=.*', text)


def names(text: str) -> list[str]:
    return [re.sub("<[^>]*>", "", row.split("</th>")[0]) for row in rows(text)]


def test_nothing_from_data_becomes_markup_and_nothing_runs():
    text = render_universe(universe(line(EVIL, failed=EVIL), line("B")))
    assert "<script" not in text
    assert html.escape(EVIL)[:20] in text
    tags = outline(text)
    assert not {tag for tag, _ in tags} & {"script", "iframe", "object", "link"}
    assert not [name for _, said in tags for name in said if name.startswith("on")]
    assert len({said["id"] for _, said in tags if "id" in said}) == sum(
        "id" in said for _, said in tags
    )


def test_what_needs_a_look_comes_first_and_the_rest_from_a_to_z():
    text = render_universe(
        universe(line("C"), line("B", stale="old"), line("A"), line("D", failed="gone"))
    )
    assert names(text) == ["D", "B", "A", "C"]
    letters = re.findall(r'<a href="#(t-\w)">(\w)</a>', text)
    assert letters == [("t-A", "A"), ("t-B", "B"), ("t-C", "C"), ("t-D", "D")]


def test_each_choice_has_a_rule_and_the_rows_that_it_counts():
    lines = [line(f"T{number:02}", number) for number in range(20)]
    lines += [line("X", failed="gone"), line("Y", stale="old"), line("Z", waits=True)]
    text = render_universe(universe(*lines))
    counted = dict(re.findall(r'id="show-([\w-]+)"[^>]*>[^<]*<span class="muted">(\d+)', text))
    assert counted == {
        "all": "23",
        "looked-at": "2",
        "fails": "1",
        "ages": "1",
        "reports": "11",  # within 7 days: of eight, and of the three that report today
        "waits": "1",
    }
    for name in set(counted) - {"all"}:
        rule = f"body:has(#show-{name}:checked) .u tbody tr:not(.{name}) {{ display: none; }}"
        assert rule in text
        assert sum(
            f"{name}" in re.findall(r'class="([^"]*)"', row)[0].split()
            for row in rows(text)
            if " class=" in row[:60]
        ) == int(counted[name])


def test_each_order_places_every_row_once():
    lines = [line(f"T{number:02}", number) for number in range(5)]
    lines.append(line("X", width=None, report_in=None, held=None))
    text = render_universe(universe(*lines))
    for name, first in (("range", "T04"), ("report", "T00"), ("held", "T00")):
        assert f"body:has(#by-{name}:checked) .u tbody tr {{ order: var(--{name}); }}" in text
        places = {
            ticker: int(re.search(rf"--{name}:(\d+)", row)[1])
            for ticker, row in zip(names(text), rows(text), strict=True)
        }
        assert sorted(places.values()) == list(range(6))
        assert places[first] == 0
        assert places["X"] == 5, "what has no number comes last"


def test_five_hundred_tickers_are_a_small_page():
    text = render_universe(universe(*(line(f"LONG{n:03}.DE", n) for n in range(500))))
    assert len(text.encode()) <= 600_000


def test_a_small_cone_ends_where_the_forecast_does():
    sketch = tiny_cone(BARS["close"].to_numpy(), PRICES)
    cone = re.search(r'class="a" d="M(\d+) (\d+)l([^"]*)z"', sketch)
    moves = np.array(re.findall(r"-?\d+", cone[3]), int).reshape(-1, 2)
    path = np.cumsum([[int(cone[1]), int(cone[2])], *moves], axis=0)
    low, high = min(path[:, 1]), max(path[:, 1])
    assert path[:, 0].max() == 240
    assert 0 <= low < high <= 72
    # Up is less: the highest point of the cone is the highest of the 95 % ends.
    ends = PRICES[["lo95", "hi95"]].to_numpy()
    assert path[:, 1].argmin() in range(len(path))
    assert (high - low) / 72 == pytest.approx(
        np.ptp(ends)
        / (max(BARS["close"][-40:].max(), ends.max()) - min(BARS["close"][-40:].min(), ends.min())),
        abs=0.05,
    )


def test_a_cone_by_hand_states_prices_dates_and_words():
    drawn = line_cone(BARS["close"], PRICES, alt=f"of {EVIL}", schemes=charts.SCHEMES)
    for svg in (drawn.svg, drawn.phone):
        assert "<script" not in svg
        assert f"{PRICES['target_on'].iloc[-1]:%d %b}".lstrip("0") in svg
        texts = re.findall(r"<text [^>]*>([^<]*)</text>", svg)
        prices = [float(text.replace(",", "")) for text in texts if re.fullmatch(r"[\d.,]+", text)]
        assert 3 <= len(prices) <= 6
        assert np.allclose(np.diff(prices), np.diff(prices)[0])
        assert PRICES["lo95"].min() * 0.9 < min(prices) < max(prices) < PRICES["hi95"].max() * 1.1


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_no_part_of_the_index_is_wider_than_the_window(tmp_path: Path, width: int):
    text = render_universe(universe(*(line(f"LONG{n:03}.DE", n) for n in range(40))))
    # The page tells its own width in its title, by a script that only this test adds.
    told = (
        "<script>document.title=document.documentElement.scrollWidth+' '+"
        "[...document.querySelectorAll('.u tbody tr')].filter(e=>e.offsetParent).length</script>"
    )
    page = tmp_path / "page.html"
    for checked, count in (("all", 40), ("reports", 8)):
        chosen = text.replace('id="show-all" checked', 'id="show-all"')
        chosen = chosen.replace(f'id="show-{checked}"', f'id="show-{checked}" checked')
        chosen = re.sub(r"<meta http-equiv[^>]*>", "", chosen).replace("</body>", f"{told}</body>")
        page.write_text(chosen)
        found = subprocess.run(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                f"--window-size={width},900",
                "--dump-dom",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        seen, shown = map(int, re.search(r"<title>(\d+) (\d+)</title>", found).groups())
        assert seen <= max(width, 500)  # chromium makes no window narrower than 500
        assert shown == count


def test_a_table_that_does_not_fit_shows_what_has_no_forecast_and_counts_the_rest():
    entries = [
        {
            "ticker": f"T{n:02}",
            "session": "2024-03-08",
            "outcome": "failed" if n == 30 else "forecast",
            "median": None if n == 30 else 10.0,
            "cone80": (9.0, 11.0),
            "declared": 0,
            "prices": "close",
        }
        for n in range(40)
    ]
    told = summary_table({"tickers": entries}, lines=10).splitlines()
    assert len(told) == 11  # with its head
    assert told[1].split()[:3] == ["T30", "2024-03-08", "failed"]
    assert told[2].startswith("T00")
    assert told[-1].startswith("… and 31 more")
    assert len(summary_table({"tickers": entries}).splitlines()) == 41
