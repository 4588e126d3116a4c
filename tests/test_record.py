"""The record that rolls forward: the same numbers as one that is built from nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate import simulate_bars

from lstmcli.evaluation.live import LATE, OPEN, REPEATED, SCORED, UNMATCHED, WAITING, follow_up
from lstmcli.evaluation.live_record import print_of
from lstmcli.evaluation.live_reports import reports_of, reports_table
from lstmcli.evaluation.live_table import evidence_of, live_table, table_of
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS, QUANTILES
from lstmcli.panel import Panel
from lstmcli.pipeline.record import Record, rolled
from lstmcli.sessions import next_sessions, settled_session
from lstmcli.store.ledger import Issued, Ledger
from lstmcli.store.record import RecordStore

NAMES = ("A", "B", "C")
STEPS = (1, 2, 5)
BARS = {name: simulate_bars(240, seed=seed) for seed, name in enumerate(NAMES)}
DAYS = pd.DatetimeIndex(BARS["A"].index)
pytestmark = pytest.mark.tensorflow  # it loads none, and computes for as long

FIRST, EVENINGS = int(DAYS.searchsorted(pd.Timestamp("2016-07-28"))), 26
"""The first origin, and the evenings that follow: of three months."""


After = Callable[[int], "Evenings"]  # what `after` is


def evening(day: pd.Timestamp, hour: int = 23) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def forecast(ticker: str, made_on: pd.Timestamp, *, recipe: str = "net") -> pd.DataFrame:
    """Return a published forecast, with others beside it at the steps that are judged."""
    targets = next_sessions("XNYS", made_on, max(STEPS), observed=DAYS)
    close = float(BARS[ticker].at[made_on, "close"])
    rows = []
    for name, calibrated, width in (
        (recipe, True, 1.0),
        (recipe, False, 0.8),
        ("ewma", False, 1.2),
    ):
        for step in range(1, max(STEPS) + 1) if calibrated else STEPS:
            scale = 0.01 * width * np.sqrt(step)
            row = {"recipe": name, "calibrated": calibrated, "ticker": ticker, "made_on": made_on}
            row |= {"step": step, "target_on": targets[step - 1], "last_close": close}
            quantiles = 4 * scale * (np.asarray(QUANTILES) - 0.5)
            row |= {"sigma": scale, **dict(zip(QUANTILE_COLUMNS, quantiles, strict=True))}
            if calibrated:
                ends = scale * np.array([-0.67, 0.67, -1.28, 1.28, -1.96, 1.96])
                row |= dict(zip(INTERVAL_COLUMNS, ends, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def check_same(record: Record, other: Record) -> None:
    """Check that two records have the same tables, to the last digit."""
    for part in ("sums", "reports", "by_ticker", "counts", "origins", "unsettled"):
        pd.testing.assert_frame_equal(record.table(part), other.table(part), check_exact=True)


class Evenings:
    """A ledger, bars that grow, and the record that rolls with them."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.store = RecordStore(folder / "record")
        self.bars = dict(BARS)
        self.now = evening(DAYS[FIRST])

    def issue(self, number: int, *names: str, run: str = "r1", hour: int = 23) -> None:
        day = DAYS[FIRST + number]
        report = (f"{DAYS[FIRST + number + 2]:%Y-%m-%d}", "before open", "confirmed", "yahoo")
        issued = [
            Issued(forecast(name, day), run, "b", "c", report if name == "A" else ())
            for name in names or NAMES
        ]
        self.ledger.append_all(issued, issued_at=evening(day, hour))
        self.now = evening(day, hour)

    def panel(self) -> Panel:
        """Return the bars that have settled."""
        day = settled_session("XNYS", self.now, observed=DAYS)
        bars = {name: rows.loc[:day] for name, rows in self.bars.items()}
        return Panel(bars, dict.fromkeys(bars, "XNYS"))

    def roll(self, store: RecordStore | None = None) -> Record:
        panel = self.panel()
        hashes = {name: print_of(bars, len(bars)) for name, bars in panel.items()}
        store = store or self.store
        return rolled(self.ledger, store, panel, hashes, self.now, write=store is self.store)

    def check(self, record: Record) -> pd.DataFrame:
        """Check a record against all rows at once; return these."""
        rows = follow_up(self.ledger.read(), self.panel(), self.now)
        counted = rows[rows["ticker"].isin(self.bars)]
        scored = counted[counted["status"] == SCORED]
        same = {"check_dtype": False, "rtol": 1e-12, "atol": 1e-15}
        pd.testing.assert_frame_equal(table_of(record.table("sums")), live_table(scored), **same)
        reports = reports_of(record.table("reports")), reports_table(scored)
        pd.testing.assert_frame_equal(*reports, **same)
        counts = record.table("counts").groupby("status")["forecasts"].sum().to_dict()
        assert counts == rows.loc[rows["calibrated"], "status"].value_counts().to_dict()
        fresh = self.roll(RecordStore(self.store.folder.with_name("none")))
        check_same(record, fresh)
        assert evidence_of(record.table("sums")) == evidence_of(fresh.table("sums"))
        return rows


@contextmanager
def quick_disk(otherwise: Path) -> Iterator[Path]:
    """Give a folder in memory, where there is such a disk: every evening is flushed to it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else otherwise) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def rolled_once(made_once) -> Path:
    """Return a folder with what lies on disk after each evening, one folder for each of them."""

    def make(folder: Path) -> None:
        with quick_disk(folder) as disk:
            evenings = Evenings(disk)
            for number in range(EVENINGS):
                evenings.issue(number)
                evenings.roll()
                shutil.copytree(disk, folder / str(number + 1))

    return made_once("rolled-evenings", make)[0]


@pytest.fixture
def evenings(tmp_path: Path) -> Iterator[Evenings]:
    with quick_disk(tmp_path) as folder:
        yield Evenings(folder)
        assert not Path(folder, "none").exists(), "only what is asked for is written"


@pytest.fixture
def after(evenings: Evenings, rolled_once: Path) -> Callable[[int], Evenings]:
    """Return a function that returns evenings of which so many have been rolled, one by one."""

    def go(count: int) -> Evenings:
        folder = evenings.ledger.path.parent
        shutil.copytree(rolled_once / str(count), folder, dirs_exist_ok=True)
        evenings.now = evening(DAYS[FIRST + count - 1])
        return evenings

    return go


def test_a_rolled_record_is_that_of_all_rows(after: After):
    evenings = after(EVENINGS - 1)
    evenings.issue(EVENINGS - 1)
    record = evenings.roll()
    assert sorted(record.months) == sorted({f"{day:%Y-%m}" for day in DAYS[FIRST:][:EVENINGS]})
    rows = evenings.check(record)
    assert set(rows["status"]) == {SCORED, OPEN}
    assert (record.table("reports")["ahead"] == 1).any()


def test_an_evening_reads_the_rows_that_it_concerns(after: After, monkeypatch):
    evenings = after(EVENINGS - 1)
    evenings.issue(EVENINGS - 1)
    read = []
    select = Ledger._read

    def count(self: Ledger, *asked) -> pd.DataFrame:
        found = select(self, *asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(Ledger, "_read", count)
    record = evenings.roll()
    of_evening = len(forecast("A", DAYS[FIRST])) * len(NAMES)
    # Those of tonight, and of the origins whose outcome has come at a step that is judged.
    assert sum(read) == of_evening * (1 + len(STEPS))
    assert len(record.rows) < len(record.months)


def correct(evenings: Evenings) -> None:
    """Correct a close that outcomes were taken from."""
    bars = evenings.bars["B"].copy()
    bars.loc[DAYS[FIRST + 3], ["close", "high"]] *= 1.01
    evenings.bars["B"] = bars


def split(evenings: Evenings) -> None:
    """Split a share two for one, so that all its prices are rewritten."""
    bars = evenings.bars["B"].copy()
    bars.loc[:, ["open", "high", "low", "close"]] /= 2
    bars.loc[DAYS[FIRST + 20], "split"] = 2.0
    evenings.bars["B"] = bars


def remove(evenings: Evenings) -> None:
    del evenings.bars["B"]


def exchange(evenings: Evenings) -> None:
    """Put another company's bars in place."""
    bars = evenings.bars["B"].copy()
    bars[["open", "high", "low", "close"]] *= np.linspace(3, 4, len(bars))[:, None]
    evenings.bars["B"] = bars


@pytest.mark.parametrize("change", [correct, split, remove, exchange])
def test_a_ticker_whose_bars_have_changed_is_scored_anew(
    after: After, change: Callable[[Evenings], None]
):
    evenings = after(24)
    before = evenings.roll().table("sums")
    change(evenings)
    record = evenings.roll()
    rows = evenings.check(record)
    differs = not before.equals(record.table("sums"))
    assert differs == (change is not split)
    if change is exchange:
        assert set(rows.loc[rows["ticker"] == "B", "status"]) == {UNMATCHED}
    if change is remove:
        evenings.bars["B"] = BARS["B"]
        pd.testing.assert_frame_equal(evenings.roll().table("sums"), before)


def test_a_session_that_comes_late_is_scored_then(after: After):
    evenings, hole = after(5), DAYS[FIRST + 5]
    evenings.bars["C"] = BARS["C"].drop(hole)
    for number in range(5, 10):
        evenings.issue(number, *(NAMES if number != 5 else ("A", "B")))
        record = evenings.roll()
    rows = evenings.check(record)
    assert WAITING in set(rows.loc[rows["ticker"] == "C", "status"])
    evenings.bars["C"] = BARS["C"]
    rows = evenings.check(evenings.roll())
    assert WAITING not in set(rows["status"])


def test_what_is_late_or_repeated_is_counted_and_not_scored(evenings: Evenings):
    evenings.issue(0)
    evenings.roll()
    evenings.issue(0, "A", run="r2")
    evenings.roll()
    day = DAYS[FIRST + 1]
    evenings.now = evening(DAYS[FIRST + 2], 16)
    evenings.ledger.append(
        forecast("A", day), run="r1", issued_at=evenings.now, bars_sha="b", config_sha="c"
    )
    rolled_days_from = evenings.roll()
    rows = evenings.check(rolled_days_from)
    assert {LATE, REPEATED} < set(rows["status"])


def test_an_evening_that_was_missed_is_caught_up(after: After):
    evenings = after(5)
    for number in range(5, 24):
        evenings.issue(number)
    evenings.check(evenings.roll())


def test_a_state_that_is_damaged_is_built_anew(after: After):
    evenings = after(10)
    folder = evenings.store.folder
    record = evenings.roll()
    evenings.check(record)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        check_same(evenings.roll(), record)
    path = max(folder.glob("*-rows.parquet"))
    path.unlink()
    check_same(evenings.roll(), record)


def test_a_state_of_another_ledger_is_of_no_use(after: After):
    evenings = after(10)
    evenings.ledger.path.unlink()
    evenings.issue(3)
    record = evenings.roll()
    evenings.check(record)
    assert record.table("origins")["made_on"].nunique() == 1


def test_a_replay_of_the_past_knows_nothing_of_later(after: After):
    evenings = after(20)
    evenings.now = evening(DAYS[FIRST + 10])
    rows = evenings.check(evenings.roll(RecordStore(evenings.store.folder)))
    assert (rows.loc[rows["target_on"] > DAYS[FIRST + 10], "status"] == OPEN).all()


def test_a_crash_between_the_tables_and_the_state_loses_nothing(after: After, monkeypatch):
    evenings = after(10)
    before = json.loads((evenings.store.folder / "state.json").read_text())
    evenings.issue(10)
    with monkeypatch.context() as patched:
        patched.setattr(RecordStore, "finish", lambda self, state: None)
        evenings.roll()
    assert json.loads((evenings.store.folder / "state.json").read_text()) == before
    evenings.check(evenings.roll())
