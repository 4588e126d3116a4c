"""The command line from a ticker to a chart, as users and scripts see it."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import NOW, TINY, check_parses, commands, hinted, run_folder, spawn

from lstmcli import __version__
from lstmcli.config import parse_config, shipped_configs
from lstmcli.config.models import MODELS
from lstmcli.digits import five_digits
from lstmcli.frames import QUANTILE_COLUMNS
from lstmcli.pipeline.issue import issue
from lstmcli.pipeline.predict import predict
from lstmcli.pipeline.session import Session
from lstmcli.sessions import next_sessions
from lstmcli.store import Workspace
from lstmcli.store.shipped import shipped_run

pytestmark = pytest.mark.process

LABEL = "sample data: GOOG 2004-08-19 to 2008-10-14, ships with matplotlib"
LEVELS = list(QUANTILE_COLUMNS)
# pydantic is not ours to keep out: Typer itself reads options with it.
HEAVY = {"tensorflow", "keras", "numpy", "pandas", "sklearn", "scipy", "matplotlib"}
HEAVY |= {"yfinance", "talib", "pyarrow", "exchange_calendars", "rich", "ruamel"}

# Every line that train and predict may write to stderr off a terminal.
OURS = re.compile(
    r"reading bars …|loading the network …|loading TensorFlow …|scoring …|"
    r"exporting for fast forecasts …|calibrating …|saving …|saved \S+|fitting up to the last bar …|"
    r"training \d+ networks? of at most \d+ epochs? on \d+ tickers?; "
    r"the (first|second) epoch tells .*|"
    r"(about|\d+) .*; scoring and saving come on top|this takes about .*|"
    r"(scored|final) fit, network 1/1: epoch \d+ loss [\d.]+, validation [\d.]+ "
    r"\(best: epoch \d+\), at most \d+ s left"
)


def name_of(words: tuple[str, ...]) -> str:
    return " ".join(["lstm", *words])


every_command = pytest.mark.parametrize("words", commands(), ids=name_of)


def forecast_of_sim(workspace: Path) -> pd.DataFrame:
    (path,) = workspace.glob("forecasts/*/SIM-*.csv")
    return pd.read_csv(path)


def test_fetch_says_what_is_stored_and_keeps_stdout_free(first_run):
    assert first_run["fetch"].out == first_run["fetch SIM"].out == ""
    assert first_run["fetch SIM"].err.startswith("SIM: new, 560 sessions, 2006-07-")
    assert first_run["fetch"].err.endswith(f" to 2008-10-14\n  {LABEL}\n")


def test_train_ends_with_the_network_beside_the_baselines(first_run):
    out = first_run["train"].out
    assert out.startswith("smoke on GOOG, SIM: ")
    assert f"NOTE: {LABEL}" in out
    table = out.split("\n\n")[2].splitlines()[1:]
    rows = {line.split()[0]: line.split()[1:] for line in table}
    assert list(rows) == [
        *("smoke", "smoke+calibrated", "smoke-untrained", "random_walk", "ewma", "har")
    ]
    assert len(rows["random_walk"]) == 5  # two CRPS and three coverages: no skill against itself
    # Calibration begins after the validation block.
    assert len(rows["smoke+calibrated"]) == 5
    for recipe in ("smoke", "smoke-untrained", "ewma", "har"):
        validation, skill, test, _, *coverages = map(float, rows[recipe])
        assert 0 < validation < 20
        assert 0 < test < 20
        walk = float(rows["random_walk"][0])
        assert skill == pytest.approx(100 * (1 - validation / walk), abs=0.1)
        assert coverages == sorted(coverages)
        assert 0 <= coverages[0] <= coverages[2] <= 100
    flat = " ".join(out.split())
    assert "this period was evaluated 1 time here" in flat
    assert re.search(
        r"smoke\+calibrated (beats|loses to|cannot be told from|was|is|does) .*Judged on \d+ "
        r"forecasts.*EWC on dates.*Skill against HAR, .*Outcomes inside.*Direction: .*"
        r"skill % .*random_walk .*ewma .*har .*smoke-untrained .* shown ",
        flat,
    )
    assert max(map(len, out.splitlines())) <= 79


def test_stderr_off_a_terminal_holds_our_own_lines_alone(first_run):
    for command in ("train", "predict"):
        lines = first_run[command].err.splitlines()
        assert lines
        assert [line for line in lines if not OURS.fullmatch(line)] == []


def test_predict_answers_first_and_fits_80_columns(first_run):
    lines = first_run["predict"].out.splitlines()
    assert re.match(
        r"No sign that it knows the direction\. Expect \S+( to \S+)? % tomorrow, ", lines[0]
    )
    assert re.match(
        r"GOOG  last close 362\.71 USD, 2008-10-14 \(up to date\)  [▁▂▃▄▅▆▇█]{20}$", lines[3]
    )
    assert f"NOTE: {LABEL}" in lines
    assert max(map(len, lines)) <= 80
    assert sum("lstm explain" in line for line in lines) == 1
    assert lines[-1].endswith("Not investment advice.")
    assert "Judged on" not in first_run["predict"].out
    head = lines.index(next(line for line in lines if line.split()[:2] == ["1", "session"]))
    assert lines[head].split() == ["1", "session", "5", "sessions", "20", "sessions"]
    origin = pd.Timestamp("2008-10-14")
    dates = next_sessions("XNYS", origin, 20, observed=pd.DatetimeIndex([origin]))
    assert lines[head + 1].split() == ["close", "on", *(f"{dates[n]:%Y-%m-%d}" for n in (0, 4, 19))]
    (path,) = Path(first_run["workspace"].out).glob("forecasts/*/GOOG-*.csv")
    rows = pd.read_csv(path).iloc[[0, 4, 19]]
    shown = {line[:8].strip(): re.split(r"  +", line[8:].strip()) for line in lines[head + 2 :][:6]}
    assert shown["P(up)"] == [f"{100 * p:.0f} %" for p in rows["p_up"]]
    assert shown["median"] == [f"{q:.2f}" for q in rows["q50"]]
    for share in ("50", "80", "95"):
        ends = zip(rows[f"lo{share}"], rows[f"hi{share}"], strict=True)
        assert shown[f"{share} %"] == [f"{low:.2f} - {high:.2f}" for low, high in ends]
    changes = zip(rows["lo80"] / 362.71 - 1, rows["hi80"] / 362.71 - 1, strict=True)
    assert shown["in %"] == [f"{100 * low:+.1f} to {100 * high:+.1f}" for low, high in changes]


def test_the_verdict_before_the_details_takes_three_lines(first_run):
    out = first_run["predict"].out
    verdict = out[out.index("Tested on ") : out.index("lstm explain")]
    assert 1 <= len(verdict.splitlines()) <= 3
    assert "range held" in verdict


def test_details_have_the_whole_verdict_and_every_step_of_the_hardest_baseline(lstm, workspace):
    lines = lstm("predict", "GOOG", "--details").out.splitlines()
    flat = " ".join(lines)
    assert re.search(r"  run \d{8}T\d{6}Z-smoke-[0-9a-f]{8}  ", flat)
    assert flat.index("Judged on ") < flat.index("step  session")
    (path,) = (Path(line.partition(": ")[2]) for line in lines if line.startswith("every step"))
    rows = pd.read_csv(path)
    tables = [line.split() for line in lines if re.match(r" +\d+  \d{4}-", line)]
    assert [int(row[0]) for row in tables] == 2 * [1, 5, 10, 20]
    assert any(
        line.endswith(", the hardest of its baselines to beat, for comparison:") for line in lines
    )
    shown = rows.iloc[[*(0, 4, 9, 19), *(20, 24, 29, 39)]]
    for row, (_, of) in zip(tables, shown.iterrows(), strict=True):
        assert row[1:3] == [of["target_on"], f"{of['q50']:.2f}"]
        edges = [float(part) for part in row[3:] if part != "-"]
        names = ("lo50", "hi50", "lo80", "hi80", "lo95", "hi95")
        assert edges == pytest.approx([of[name] for name in names], abs=0.0051)
        assert edges[4] < edges[2] < edges[0] < edges[1] < edges[3] < edges[5]


def test_predict_writes_a_csv_with_every_step_and_quantile_as_prices(first_run):
    (path,) = Path(first_run["workspace"].out).glob("forecasts/*/GOOG-*.csv")
    rows = pd.read_csv(path)
    assert rows["step"].tolist() == 2 * list(range(1, 21))
    assert tuple(rows.columns[:3]) == ("recipe", "calibrated", "ticker")
    assert set(rows["recipe"].iloc[:20]) == {"smoke"}
    assert rows["recipe"].iloc[20] in ("random_walk", "ewma", "har")
    assert rows["calibrated"].tolist() == [True] * 20 + [False] * 20
    assert len(LEVELS) == 21
    assert (np.diff(rows[LEVELS], axis=1) >= 0).all()
    assert (np.diff(rows[["lo95", "lo80", "lo50", "q50", "hi50", "hi80", "hi95"]]) >= 0).all()
    assert rows["q50"].between(300, 450).all()
    # The median lies above the last close where a rise is likelier than not.
    assert ((rows["p_up"] > 0.5) == (rows["q50"] > 362.71)).all()


def test_several_tickers_are_a_line_each_that_fits_the_terminal(lstm, workspace, monkeypatch):
    wide, narrow = {}, {}
    for columns, found in ((130, wide), (80, narrow)):
        monkeypatch.setenv("COLUMNS", str(columns))
        out = lstm("predict", "SIM", "GOOG").out
        assert out.startswith("No sign that it knows the direction of any.")
        assert max(map(len, out.splitlines())) <= columns
        assert out.count("lstm explain") == 1
        lines = out.splitlines()
        head = next(n for n, line in enumerate(lines) if line.startswith("ticker "))
        found["head"] = re.split(r"  +", lines[head])
        found |= {line.split()[0]: re.split(r"  +", line) for line in lines[head + 1 :][:2]}
    one = ["P(up)", "median"]
    assert wide["head"] == [
        *("ticker", "close", *one, "1 session", *one, "5 sessions", *one, "20 sessions"),
        *("recent", "verdict"),
    ]
    assert narrow["head"][-1] == "20 sessions"
    assert list(wide) == ["head", "SIM", "GOOG"]
    steps = json.loads(lstm("predict", "GOOG", "--json").out)["forecasts"][0]["steps"]
    cells = dict(zip(wide["head"][3:5], wide["GOOG"][3:5], strict=True))
    assert cells["median"] == f"{100 * steps[0]['q50_change']:+.1f}"
    low, high = (100 * steps[0][f"{end}80_change"] for end in ("lo", "hi"))
    assert cells["1 session"] == f"{low:+.1f}/{high:+.1f}"
    assert wide["GOOG"][1] == "362.71"
    assert wide["GOOG"][-1] in ("cannot tell", "BEATS", "LOSES", "not asked")


def test_a_ticker_that_fails_does_not_stop_the_watch_list(lstm, workspace):
    answer = lstm("predict", "GOOG", "NONE", "SIM")
    assert answer.code == 4  # nothing answers for Yahoo here
    assert "error: NONE: no network" in answer.err
    assert re.search(r"^GOOG +362\.71 ", answer.out, re.MULTILINE)
    assert re.search(r"^SIM +", answer.out, re.MULTILINE)
    # One that is left is shown as one.
    assert "GOOG  last close 362.71" in lstm("predict", "GOOG", "NONE").out


def test_details_of_several_tickers_are_those_of_each(lstm, workspace):
    out = lstm("predict", "--details").out
    for ticker in ("GOOG", "SIM"):
        assert re.search(rf"^{ticker}  last close ", out, re.MULTILINE)
    assert out.count("Judged on") == 2
    assert out.count("lstm explain") == 1


def test_a_date_in_the_future_is_refused(lstm, workspace):
    for command in ("predict", "plot"):
        answer = lstm(command, "GOOG", "--as-of", "2008-10-16")
        assert (answer.code, answer.out) == (2, "")
        assert "Expected --as-of up to today, 2008-10-14. Received: 2008-10-16." in answer.err
    assert lstm("predict", "GOOG", "--as-of", "2008-10-15").code == 0  # today, east of UTC


def test_formats_that_exclude_each_other_are_refused(lstm, workspace):
    for pair in (("--json", "--csv"), ("--csv", "--details"), ("--json", "--details")):
        answer = lstm("predict", "GOOG", *pair)
        assert (answer.code, answer.out) == (2, "")
        assert f"{pair[0]} and {pair[1]}" in answer.err


def test_the_last_forecast_is_shown_with_what_came(lstm, workspace, monkeypatch):
    # Trained up to 2008-10-14, the run forecasts the next session out of sample.
    bars = workspace.parent / "SIM.csv"
    stored, _ = Workspace(workspace).bars.read("SIM")
    stored = stored[["open", "high", "low", "close", "volume"]]
    more = 1.5 * stored.tail(1).set_axis([pd.Timestamp("2008-10-15")])
    pd.concat([stored, more]).rename_axis("Date").to_csv(bars)
    expected = json.loads(lstm("predict", "SIM", "--json").out)["forecasts"][0]
    assert expected["previous"] is None  # the session before was fitted on
    monkeypatch.setenv("LSTM_NOW", "2008-10-15T18:00:00-04:00")
    allow = ("--allow-jumps", "2008-10-15")
    fetched = lstm("fetch", "SIM", "--source", "csv", "--file", bars, *allow)
    assert fetched.code == 0, fetched.err
    answer = lstm("predict", "SIM")
    (line,) = (x for x in answer.out.splitlines() if x.startswith("Yesterday it would have said"))
    first = expected["steps"][0]
    said = f"{five_digits(first['lo80'])} to {five_digits(first['hi80'])}; it closed at "
    assert said in line
    assert line.endswith(": above.")
    previous = json.loads(lstm("predict", "SIM", "--json").out)["forecasts"][0]["previous"]
    assert (previous["made_on"], previous["target_on"]) == ("2008-10-14", "2008-10-15")
    assert (previous["issued"], previous["where"]) == (False, "above")
    assert previous["low"] == pytest.approx(first["lo80"])


def test_json_and_csv_hold_the_same_forecast(lstm, workspace):
    answer = lstm("predict", "GOOG", "--json")
    assert answer.code == 0
    parsed = json.loads(answer.out, parse_constant=pytest.fail)  # no NaN, no Infinity
    assert parsed["schema"] == 2
    (forecast,) = parsed["forecasts"]
    assert (forecast["ticker"], forecast["made_on"]) == ("GOOG", "2008-10-14")
    assert (forecast["label"], forecast["sessions_behind"]) == (LABEL, 0)
    assert forecast["in_sample"] is False
    assert len(forecast["steps"]) == 20
    assert Path(forecast["file"]).is_file()
    texts = [value for value in every_value(parsed) if isinstance(value, str)]
    assert [text for text in texts if "\n" in text] == []
    assert forecast["outlook"].startswith("No sign that it knows the direction. Expect ")
    assert forecast["short_verdict"].startswith("Tested on ")
    first = forecast["steps"][0]
    assert 0.025 <= first["p_up"] <= 0.975
    assert first["lo80_change"] == pytest.approx(first["lo80"] / 362.71 - 1)
    printed = pd.read_csv(io.StringIO(lstm("predict", "GOOG", "--csv").out))
    assert (forecast["verdict"]["recipe"], forecast["verdict"]["calibrated"]) == ("smoke", True)
    assert forecast["baseline"]["calibrated"] is False
    assert forecast["baseline"]["recipe"] == forecast["verdict"]["hardest"] == "har"
    steps = pd.DataFrame([*forecast["steps"], *forecast["baseline"]["steps"]])
    pd.testing.assert_frame_equal(printed, pd.read_csv(forecast["file"]))
    cones = ["lo50", "hi50", "lo80", "hi80", "lo95", "hi95"]
    numbers = [*LEVELS, *cones]
    np.testing.assert_allclose(printed[numbers], steps[numbers], rtol=1e-7)
    assert printed["target_on"].tolist() == steps["target_on"].tolist()


def every_value(answer: object) -> Iterator[object]:
    """Yield every value of a JSON answer that holds no others."""
    if isinstance(answer, dict | list):
        for value in answer.values() if isinstance(answer, dict) else answer:
            yield from every_value(value)
    else:
        yield answer


def test_a_ticker_has_the_same_forecast_alone_and_with_the_others_of_its_run(lstm, workspace):
    alone = pd.read_csv(io.StringIO(lstm("predict", "GOOG", "--csv").out))
    every = pd.read_csv(io.StringIO(lstm("predict", "--csv").out))
    together = every[every["ticker"] == "GOOG"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together, rtol=1e-6)


def test_no_ticker_forecasts_every_one_of_the_run(lstm, workspace):
    answer = lstm("predict", "--csv")
    assert pd.read_csv(io.StringIO(answer.out))["ticker"].value_counts().to_dict() == {
        "GOOG": 40,
        "SIM": 40,
    }


def test_as_of_takes_the_last_session_up_to_a_date(lstm, workspace):
    answer = lstm("predict", "GOOG", "--as-of", "2008-03-23")  # Easter; Friday was no session
    assert "\nGOOG  last close 433.55 USD, 2008-03-20  " in answer.out
    assert " on 2008-03-24, " in " ".join(answer.out.split())  # a day of the past is a date
    assert "from 2008-03-20: a picture, no score" in answer.err
    (path,) = workspace.glob("forecasts/2008-03-20/GOOG-*.csv")
    assert pd.read_csv(path)["target_on"][0] == "2008-03-24"
    parsed = json.loads(lstm("predict", "GOOG", "--as-of", "2008-03-20", "--json").out)
    assert parsed["forecasts"][0]["in_sample"] is True
    assert parsed["forecasts"][0]["sessions_behind"] is None


def test_a_clock_before_the_last_bar_leaves_later_bars_out(lstm, workspace, monkeypatch):
    lstm("predict", "SIM", "--as-of", "2008-09-30")
    expected = forecast_of_sim(workspace)
    shutil.rmtree(workspace / "forecasts")
    monkeypatch.setenv("LSTM_NOW", "2008-09-30T18:00:00-04:00")
    answer = lstm("predict", "SIM")
    assert "2008-09-30 (up to date)" in answer.out
    pd.testing.assert_frame_equal(forecast_of_sim(workspace), expected)
    monkeypatch.setenv("LSTM_NOW", "2008-09-30T15:00:00-04:00")  # an hour before the close
    assert ", 2008-09-29 (up to date)" in lstm("predict", "SIM").out


def test_old_bars_are_called_stale_with_their_age(lstm, workspace, monkeypatch):
    fresh = lstm("predict", "SIM")
    assert "2008-10-14 (up to date)" in fresh.out
    assert "stale" not in fresh.err
    monkeypatch.setenv("LSTM_NOW", "2008-10-17T18:00:00-04:00")
    stale = lstm("predict", "SIM")
    assert "2008-10-14 (3 sessions old)" in stale.out
    assert "warning: SIM: stale: 3 sessions have settled since its last bar" in stale.err
    check_parses(stale.err.partition("; ")[2].strip())
    monkeypatch.setenv("LSTM_NOW", "2008-10-15T18:00:00-04:00")
    assert "SIM: stale: 1 session has settled since" in lstm("predict", "SIM").err
    monkeypatch.setenv("LSTM_NOW", "2008-10-17T18:00:00-04:00")
    assert json.loads(lstm("predict", "SIM", "--json").out)["forecasts"][0]["sessions_behind"] == 3


def test_each_ticker_is_forecast_by_the_newest_run_that_knows_it(lstm, workspace):
    (old,) = json.loads(lstm("runs", "--json").out)["runs"]
    assert lstm("train", "SIM", *TINY, "--set", "training.refit=false").code == 0
    forecasts = json.loads(lstm("predict", "GOOG", "SIM", "--json").out)["forecasts"]
    assert [each["run"] == old["run"] for each in forecasts] == [True, False]
    (named,) = json.loads(lstm("predict", "SIM", "--run", old["run"], "--json").out)["forecasts"]
    assert named["run"] == old["run"]


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_plot_writes_the_format_of_the_ending_and_the_same_bytes_twice(
    lstm, workspace, ending, magic
):
    paths = [workspace.parent / f"{n}.{ending}" for n in (1, 2)]
    for path in paths:
        answer = lstm("plot", "GOOG", "--output", path)
        assert (answer.code, answer.out) == (0, f"{path}\n")
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(magic)
    assert first == second
    if ending == "svg":
        text = first.decode()
        for words in ("sample data", "2008-10-14", "GOOG", "-smoke-"):
            assert words in text, words


def test_plot_without_an_output_names_a_png_for_each_ticker(lstm, workspace):
    paths = [Path(line) for line in lstm("plot").out.splitlines()]
    assert [path.name.split("-")[1] for path in paths] == ["GOOG", "SIM"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_plot_draws_for_phones_and_in_dark_beside_the_other_pictures(lstm, workspace):
    from PIL import Image

    found = {}
    for options in ([], ["--phone"], ["--dark"], ["--phone", "--dark"]):
        path = Path(lstm("plot", "GOOG", *options).out.strip())
        image = Image.open(path).convert("RGB")
        found[path.stem.partition("-smoke-")[2][8:]] = image.width, image.getpixel((0, 0))
    light, dark = (255, 255, 255), (23, 25, 28)
    assert found == {
        "": (1050, light),
        "-phone": (525, light),
        "-dark": (1050, dark),
        "-phone-dark": (525, dark),
    }


def test_plot_compares_tickers_in_one_picture(lstm, workspace):
    answer = lstm("plot", "GOOG", "SIM", "--kind", "compare", "-o", "both.svg")
    assert (answer.code, answer.out) == (0, "both.svg\n")
    picture = Path("both.svg").read_text()
    (run,) = (path.name for path in (workspace / "runs").iterdir())
    for words in ("How far 2 tickers may move", "GOOG", "SIM", "sample data", run):
        assert words in picture, words


@pytest.mark.parametrize("line", [("GOOG",), ("GOOG", "SIM", "--kind", "compare")])
def test_a_picture_says_that_its_network_has_seen_the_years_after(lstm, workspace, line):
    words = "These weights have seen the years to 2023-12-29", "a picture, no score"
    for run, seen in (("smoke", False), ("pretrained", True)):
        answer = lstm("plot", *line, "--run", run, "-o", f"{run}.svg")
        assert (answer.code, answer.out) == (0, f"{run}.svg\n")
        texts = re.findall(r">([^<>]+)<", Path(f"{run}.svg").read_text())
        picture = " ".join(" ".join(texts).split())
        assert [part in picture for part in words] == [seen, seen]
        if len(line) == 1:
            assert ("on shares it never saw" in picture) == seen


def test_past_forecasts_are_drawn_from_the_ledger(lstm, workspace, monkeypatch):
    nothing = lstm("plot", "GOOG", "--kind", "past")
    assert nothing.code == 3
    assert hinted(nothing) == ["lstm backtest GOOG"]
    nothing = lstm("plot", "--kind", "past")
    assert (nothing.code, hinted(nothing)) == (3, ["lstm backtest"])
    assert "neither in the ledger" in nothing.err
    session = Session(Workspace(workspace))
    origin = session.settled("GOOG")[0].index[-30]
    monkeypatch.setenv("LSTM_NOW", f"{origin:%Y-%m-%d}T18:00:00-04:00")
    (prediction,), _ = predict(Session(Workspace(workspace)), ["GOOG"])
    issue(session.workspace, [prediction])
    monkeypatch.setenv("LSTM_NOW", NOW)
    for line in (["GOOG"], []):  # without a ticker, all that were issued
        answer = lstm("plot", *line, "--kind", "past", "-o", "past.svg")
        assert answer.code == 0, answer.err
        picture = Path("past.svg").read_text()
        assert "As issued, from the ledger." in picture
        assert "of 1 closes" in picture


def test_the_report_shows_the_forecast_of_a_run_where_nothing_was_issued(lstm, workspace):
    before = {path for path in workspace.rglob("*") if path.is_file()}
    answer = lstm("report")
    assert (answer.code, answer.out) == (0, "data/report.html\n")
    page = (workspace / "report.html").read_text()
    assert "2 of 2 forecasts are up to date." in page
    assert page.count("Not issued: nobody keeps a record of this forecast.") == 2
    assert page.count("<img") == 2
    assert not (workspace / "ledger.sqlite").exists()
    made = {
        path.relative_to(workspace).parts[0]
        for path in workspace.rglob("*")
        if path.is_file() and path not in before
    }
    assert made <= {"report.html", "charts", "forecasts"}
    (prediction, _), _ = predict(Session(Workspace(workspace)), ["GOOG", "SIM"])
    first = prediction.prices.iloc[0]
    reach = [f"{100 * (first[end] / first['last_close'] - 1):+.1f}" for end in ("lo80", "hi80")]
    assert f"{reach[0]} to {reach[1]} %" in page


def test_a_report_of_many_tickers_is_a_sorted_index_with_a_page_each(lstm, workspace, monkeypatch):
    for limit in ("WITH_CHARTS", "MAX_IN_ONE_PAGE"):
        monkeypatch.setattr(f"lstmcli.pipeline.report.{limit}", 1)
    # SIM needs a look: its bars end before those of GOOG.
    later = pd.Timestamp(NOW) + pd.Timedelta(days=1)
    monkeypatch.setenv("LSTM_NOW", later.isoformat())
    bars, _ = Workspace(workspace).bars.read("GOOG")
    more = bars.tail(1).set_axis([pd.Timestamp("2008-10-15")])
    more = pd.concat([bars, more])[["open", "high", "low", "close", "volume"]]
    more.rename_axis("Date").to_csv("GOOG.csv")
    line = ["fetch", "GOOG", "--source", "csv", "--file", "GOOG.csv", "--replace", "-q"]
    assert lstm(*line).code == 0
    assert lstm("report").code == 0
    index = (workspace / "report.html").read_text()
    assert "1 of 2 forecasts are up to date; stale: SIM." in index
    assert re.findall(r'href="(report/[^"]+)"', index) == ["report/SIM.html", "report/GOOG.html"]
    assert index.count('<svg class="s"') == 2
    assert "<img" not in index
    assert "next close, 80\N{NO-BREAK SPACE}%" in index
    for ticker in ("GOOG", "SIM"):
        page = (workspace / "report" / f"{ticker}.html").read_text()
        assert 'href="../report.html"' in page
        stale = ticker == "SIM"
        assert f"The forecast is {'stale' if stale else 'up to date'}." in page
        assert page.count("<img") == 1
    # Charts of those that are named, in a page beside the index.
    before = (workspace / "report.html").read_bytes()
    answer = lstm("report", "GOOG")
    assert answer.out.endswith("named.html\n")
    named = (workspace / "named.html").read_text()
    assert "<h1>Forecast of GOOG</h1>" in named
    assert (workspace / "report.html").read_bytes() == before
    assert lstm("report", "GOOG", "SIM").code == 2


def test_a_report_without_bars_says_what_comes_first(lstm, empty):
    answer = lstm("report")
    assert answer.code == 3
    assert hinted(answer)
    assert not (empty / "report.html").exists()


def test_a_report_without_a_run_shows_what_the_shipped_one_forecasts(lstm, empty):
    assert lstm("fetch", "GOOG", "--source", "sample", "-q").code == 0
    assert lstm("report").code == 0
    page = (empty / "report.html").read_text()
    # Its weights have seen what lies before 2024.
    assert "a picture, no score" in page
    assert "pretrained" in page


@pytest.mark.parametrize("opens", [True, False])
def test_the_report_opens_in_a_browser_or_says_where_it_is(lstm, workspace, monkeypatch, opens):
    import webbrowser

    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or opens)
    answer = lstm("report", "--open")
    assert answer.code == 0
    assert asked == [(workspace / "report.html").resolve().as_uri()]
    assert (asked[0] in answer.err) == (not opens)


def test_plot_draws_a_training(lstm, workspace):
    answer = lstm("plot", "--kind", "training", "-o", "loss.svg")
    assert answer.code == 0
    (run,) = (path.name for path in (workspace / "runs").iterdir())
    assert run in Path("loss.svg").read_text()


def test_plot_draws_attention_where_a_run_has_it(lstm, workspace):
    options = [*TINY[4:], "--set", "training.epochs=1", "--set", "training.members=1"]
    options += ["--set", "model.units=4", "--set", "training.refit=false"]
    assert lstm("train", "SIM", "--config", "attention", *options).code == 0
    answer = lstm("plot", "SIM", "--kind", "attention")
    assert answer.code == 0
    assert Path(answer.out.strip()).name.startswith("attention-SIM-2008-10-14-")


def test_a_dry_run_prints_config_and_blocks_and_writes_nothing(lstm, workspace):
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}
    answer = lstm("train", "GOOG", *TINY, "--set", "seed=11", "--dry-run")
    assert answer.code == 0
    text, _, table = answer.out.partition("\n\n")
    config = parse_config(text, "dry run")
    assert (config.tickers, config.seed, config.model.units) == (("GOOG",), 11, 4)
    rows = [line.split() for line in table.splitlines() if line.startswith(("scored", "final"))]
    assert [row[:2] for row in rows] == [
        *(["scored", block] for block in ("train", "validation", "calibration", "test")),
        *(["final", block] for block in ("train", "validation", "calibration")),
    ]
    scored = [date for row in rows[:4] for date in row[2:4]]
    assert scored == sorted(scored)
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before


def test_one_seed_gives_one_forecast_file_and_another_seed_another(lstm, workspace, monkeypatch):
    lstm("predict", "GOOG")
    (first,) = workspace.glob("forecasts/*/GOOG-*.csv")
    forecasts = []
    for seed in (7, 8):
        # A year later: the clock is no part of a forecast from the same bars.
        monkeypatch.setenv("LSTM_NOW", f"2009-10-14T18:00:0{seed}-04:00")
        # A process of its own, as the first was: in this one the threads are chosen already.
        changes = {"LSTM_NOW": f"2009-10-14T18:00:0{seed}-04:00"}
        words = ("train", *TINY, "--set", f"seed={seed}")
        trained = spawn(*words, workspace=workspace, changes=changes)
        (path,) = json.loads(lstm("predict", "GOOG", "--json").out)["forecasts"]
        forecasts.append(Path(path["file"]).read_bytes())
    assert forecasts[0] == first.read_bytes()
    assert forecasts[1] != forecasts[0]
    assert "evaluated 3 times here" in trained.out


def test_quiet_says_nothing_besides_results(lstm, workspace):
    lines = [
        ("fetch", "GOOG", "--source", "sample", "-q"),
        ("train", "SIM", *TINY, "--set", "training.refit=false", "-q"),
        ("predict", "GOOG", "-q"),
        ("plot", "GOOG", "-q"),
        ("status", "-q"),
    ]
    for line in lines:
        answer = lstm(*line)
        assert (answer.code, answer.err) == (0, ""), line
        assert bool(answer.out) == (line[0] != "fetch")


def test_models_lists_every_variant_and_config(lstm):
    out = lstm("models").out
    for name, variant in MODELS.items():
        assert re.search(rf"^{name} +{re.escape(variant.summary())}$", out, re.MULTILINE)
    assert out.endswith(f"configs: {', '.join(shipped_configs())}\n")
    parsed = json.loads(lstm("models", "--json").out)
    assert (set(parsed["variants"]), parsed["schema"]) == (set(MODELS), 2)


def test_runs_lists_what_was_trained(lstm, workspace, empty):
    (run,) = (path.name for path in (workspace / "runs").iterdir())
    listed = rf"^{run}  smoke   GOOG SIM  2008-10-14  \w+.* +\d\.\d{{3}}  2008-10-14$"
    assert re.search(listed, lstm("runs").out, re.MULTILINE)
    (parsed,) = json.loads(lstm("runs", "--json").out)["runs"]
    assert (parsed["run"], parsed["tickers"]) == (run, ["GOOG", "SIM"])
    assert parsed["labels"] == {"GOOG": LABEL}
    assert lstm("runs", "--workspace", "elsewhere").out == (
        "no runs in elsewhere; lstm runs show pretrained shows the one that ships\n"
    )


def test_status_shows_age_run_and_forecast_of_each_ticker(lstm, workspace, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", "2008-10-17T18:00:00-04:00")
    lines = lstm("status").out.splitlines()
    assert lines[1].split()[:2] + lines[1].split()[3:6] == [
        *("GOOG", "sample", "2008-10-14", "3", "2008-10-14"),
    ]
    assert max(map(len, lines)) <= 80
    goog, sim = json.loads(lstm("status", "--json").out)["tickers"]
    assert (goog["label"], goog["forecast"], sim["forecast"]) == (LABEL, "2008-10-14", None)
    assert (sim["rows"], sim["sessions_behind"], sim["source"]) == (560, 3, "csv")
    assert lstm("status", "--workspace", "elsewhere").out == "nothing is stored in elsewhere\n"


def test_predict_without_a_ticker_shows_every_stored_one(lstm, workspace):
    old = run_folder(workspace).name
    bars, _ = Session(Workspace(workspace)).settled("SIM")
    named = bars[["open", "high", "low", "close", "volume"]].rename_axis("Date")
    named.to_csv("NEW.csv")
    assert lstm("fetch", "NEW", "--source", "csv", "--file", "NEW.csv").code == 0
    assert lstm("train", "SIM", *TINY, "--set", "training.refit=false").code == 0
    new = max(path.name for path in (workspace / "runs").iterdir())

    def runs(*line: str) -> dict[str, str]:
        forecasts = json.loads(lstm("predict", *line, "--json").out)["forecasts"]
        return {of["ticker"]: of["run"] for of in forecasts}

    shipped = shipped_run().manifest.run
    assert runs() == {"GOOG": old, "NEW": shipped, "SIM": new}
    assert runs("--run", old) == {"GOOG": old, "SIM": old}
    assert runs("--run", "pretrained") == dict.fromkeys(("GOOG", "NEW", "SIM"), shipped)


def test_doctor_finds_a_sound_workspace_whole(lstm, workspace):
    answer = lstm("doctor")
    assert answer.code == 0
    assert answer.out.startswith("lstm ")
    assert re.search(
        r"^bars SIM +560 sessions, 2006-07-\d\d to 2008-10-14, 0 behind$", answer.out, re.M
    )
    assert re.search(r"^run \S+-smoke-\w{8} +8 files, whole$", answer.out, re.M)
    assert re.search(rf"^lstm +{re.escape(__version__)}$", answer.out, re.M)
    assert re.search(r"^clock +2008-10-14T22:00:00\+00:00$", answer.out, re.M)
    names = {check["name"] for check in json.loads(lstm("doctor", "--json").out)["checks"]}
    assert {"tensorflow", "yfinance", "workspace", "configs"} <= names


def test_config_show_prints_what_reads_back_as_the_same(lstm):
    out = lstm("config", "show", "--config", "stacked", "--set", "model.units=[8,4]").out
    assert parse_config(out, "shown").model.units == (8, 4)
    assert parse_config(out, "shown").to_yaml() == out


def test_config_check_says_which_configs_are_sound(lstm, empty):
    assert lstm("config", "check", "lstm", "stacked.yaml").out == "lstm: ok\nstacked.yaml: ok\n"
    Path("bad.yaml").write_text("model: {name: lstm, unts: 3}\n")
    answer = lstm("config", "check", "lstm", "bad.yaml")
    assert (answer.code, answer.out) == (2, "lstm: ok\n")
    assert "bad.yaml:1:21: model.unts: unknown key; did you mean 'units'?" in answer.err


def test_init_makes_configs_once_unless_forced(lstm, empty):
    answer = lstm("init", "here")
    assert (answer.code, len(answer.out.splitlines())) == (0, len(shipped_configs()))
    copy = Path("here/configs/lstm.yaml")
    copy.write_text("mine")
    again = lstm("init", "here")
    assert (again.code, copy.read_text()) == (2, "mine")
    assert "exists already" in again.err
    assert "--force" in again.hint
    assert lstm("init", "here", "--force").code == 0
    assert copy.read_bytes() == shipped_configs()["lstm"].read_bytes()
    assert lstm("config", "check", copy).code == 0


def test_the_version_is_shown(lstm):
    assert lstm("--version").out == f"{__version__}\n"


@pytest.mark.parametrize("words", [(), ("config",)], ids=name_of)
def test_a_group_alone_shows_its_help_and_exits_2(lstm, words):
    answer = lstm(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"Usage: {name_of(words)} ")
    assert "error" not in answer.err


def test_the_module_runs_like_the_command(empty):
    assert spawn("--version", workspace=empty).out == f"{__version__}\n"


@every_command
def test_help_starts_with_what_it_does_and_fits_80_columns(lstm, words):
    answer = lstm(*words, "--help")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.rstrip().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"Usage: {name_of(words)} ")
    assert re.fullmatch(r"  [A-Z][a-z]+ .*[.:]|  [A-Z][a-z]+ [^.]*", lines[2])


@every_command
def test_help_has_an_example_that_parses(lstm, words, empty):
    out = lstm(*words, "--help").out
    examples = re.findall(rf"^ +({re.escape(name_of(words))}(?: .*)?)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        check_parses(re.split(r"   +| \|\|? | > ", example)[0])


# What each command works with; of the heavy libraries it may load no other.
OTHERS = {"arch", "statsmodels", "ai_edge_litert", "jinja2"}
TABLES = {"numpy", "pandas", "pyarrow", "rich", "ruamel"}
WORKS_WITH = {
    "fetch GOOG --source sample": TABLES | {"exchange_calendars", "matplotlib"},
    "train --dry-run --config smoke": TABLES | {"exchange_calendars"},
    "train GOOG --config smoke --set training.epochs=1": TABLES
    | {"exchange_calendars", "tensorflow", "keras", "sklearn", "scipy", "arch", "statsmodels"}
    | {"matplotlib"}  # Keras itself imports it
    | {"ai_edge_litert"},  # calibration learns from what will forecast
    "predict GOOG": TABLES | {"exchange_calendars", "ai_edge_litert"},
    "plot GOOG": TABLES | {"exchange_calendars", "ai_edge_litert", "matplotlib"},
    "backtest GOOG --config smoke --set training.epochs=1 --set backtest.folds=1 "
    "--set backtest.start=2008-07-21 --workers 1": TABLES
    | {"exchange_calendars", "tensorflow", "keras", "sklearn", "scipy", "matplotlib"}
    | {"arch", "statsmodels"},
    "audit --help": set(),  # what it works with is what train and backtest do
    "daily -q": TABLES
    | {"exchange_calendars", "ai_edge_litert", "sklearn", "scipy", "arch", "statsmodels"}
    | {"matplotlib", "jinja2"},
    "score --help": set(),  # test_daily.py has a ledger that it can score
    "report --help": set(),
    "schedule -q": TABLES | {"exchange_calendars"},
    "schedule systemd": TABLES | {"exchange_calendars"},
    "ledger verify": TABLES,
    "ledger export": TABLES,
    "ledger archive --help": set(),  # test_ledger_archive.py has a ledger with old forecasts
    "events list": TABLES,
    "events fetch --help": set(),  # test_announcement_sources.py has a Yahoo that it can ask
    "events import --help": set(),
    "status": TABLES | {"exchange_calendars"},
    "log": TABLES,
    "remove SIM": TABLES,
    "prune --keep 90d": TABLES,
    "backup copy.tar.gz": TABLES,
    "restore --help": set(),  # test_backup.py has a backup to restore
    "runs": TABLES,
    "runs list --csv": TABLES,
    "runs show 2008": TABLES | {"exchange_calendars", "scipy"},
    "runs compare --help": set(),
    "runs export --help": set(),
    "runs import --help": set(),
    "models": TABLES,
    "explain cone": set(),
    "doctor": TABLES | {"exchange_calendars"},
    "init elsewhere": TABLES,
    "config show -c smoke": TABLES,
    "config check smoke": TABLES,
}


@pytest.mark.parametrize("line", WORKS_WITH)
def test_a_command_loads_only_what_it_works_with(line, workspace):
    script = f"""
import sys
from lstmcli.cli import run
assert run({line.split()!r}) == 0
print("loaded", *({(HEAVY | OTHERS)!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert loaded - WORKS_WITH[line] == set()


def test_every_command_says_what_it_works_with():
    said = {tuple(word for word in line.split() if word.islower()) for line in WORKS_WITH}
    for words in commands():
        assert any(line[: len(words)] == words for line in said), words


def test_a_run_without_its_export_forecasts_the_same_through_keras(lstm, workspace):
    fast = lstm("predict", "SIM", "--csv")
    (folder,) = (workspace / "runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["forecast.tflite"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "forecast.tflite").unlink()
    slow = lstm("predict", "SIM", "--csv")
    assert (fast.code, slow.code) == (0, 0)
    columns = [column for column in pd.read_csv(io.StringIO(fast.out)) if column[0] == "q"]
    prices = [pd.read_csv(io.StringIO(answer.out))[columns] for answer in (fast, slow)]
    np.testing.assert_allclose(prices[0], prices[1], rtol=1e-6)


def test_no_help_imports_a_heavy_library(empty):
    script = f"""
import sys
from lstmcli.cli import run
for words in {commands()!r}:
    assert run([*words, "--help"]) == 0
    loaded = {HEAVY!r} & set(sys.modules)
    assert not loaded, (words, loaded)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(commands())
