"""The documentation lists the columns of stored tables: all of them, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from command import finished, run_folder

from lstmcli.frames import EVENT_COLUMNS

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent


def documented(heading: str) -> list[str]:
    """Return the names in the first column of the table under a heading of the documentation."""
    pages = [path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md")]
    (page,) = [page for page in pages if f"## {heading}\n" in page]
    section = re.split(r"^#+ ", page.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert rows[:2] == ["| column | unit | what it is |", "| --- | --- | --- |"]
    return [name for row in rows[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_column_of_the_forecasts_of_a_backtest_is_documented(proven):
    rows = pd.read_parquet(finished(proven[0]) / "forecasts.parquet")
    assert documented("Columns of `forecasts.parquet`") == list(rows.columns)


def test_every_column_of_stored_bars_is_documented(proven):
    bars = pd.read_parquet(proven[0] / "bars" / "AAA.parquet")
    assert documented("Columns of `bars/*.parquet` and `market/*.parquet`") == list(bars.columns)


def test_every_column_of_stored_events_is_documented(lstm, empty):
    Path("launches.csv").write_text("ticker,session,known_on\nMRK,2008-10-20,2008-10-01\n")
    assert lstm("events", "import", "launches.csv", "--kind", "launch").code == 0
    (path,) = (empty / "events").glob("*.parquet")
    assert list(pd.read_parquet(path).columns) == list(EVENT_COLUMNS)
    assert documented("Columns of `events/*.parquet`") == list(EVENT_COLUMNS)


def test_every_column_of_the_outcomes_of_a_run_is_documented(workspace):
    rows = pd.read_parquet(run_folder(workspace) / "outcomes.parquet")
    assert documented("Columns of `outcomes.parquet`") == list(rows.columns)


def test_every_column_of_stored_scores_is_documented(proven, workspace):
    of_backtest = pd.read_csv(finished(proven[0]) / "scores.csv")
    assert documented("Columns of `scores.csv`") == list(of_backtest.columns)
    of_run = pd.read_csv(run_folder(workspace) / "scores.csv")
    assert list(of_run.columns) == ["block", *of_backtest.columns]


def test_no_log_return_has_the_name_of_a_price(proven):
    """A log return stays the same if every price is ten times as large; a price does not."""
    rows = pd.read_parquet(finished(proven[0]) / "forecasts.parquet")
    numbers = rows.select_dtypes("number").drop(columns=["step", "fold", "usual_sign"])
    # Bars of the test cost about a hundred; a log return of a few sessions is far below one.
    large = {name for name in numbers if numbers[name].abs().median() > 0.2}
    assert large == {"last_close", "naive"}
