"""The ledger: append-only, chained, safe with several writers and a full disk."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lstmcli.errors import DataError, DiskError
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS, QUANTILES
from lstmcli.store.ledger import GENESIS, Issued, Ledger
from lstmcli.store.ledger_database import SCHEMA
from lstmcli.store.ledger_schema import REPORT

NOW = datetime(2024, 3, 8, 22, 0, tzinfo=UTC)
NUMBERS = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]


def forecast(ticker: str = "MRK", made_on: str = "2024-03-08", *, steps: int = 2) -> pd.DataFrame:
    """Return a calibrated forecast and one without intervals beside it."""
    rows = []
    for recipe, calibrated in (("lstm", True), ("ewma", False)):
        for step in range(1, steps + 1):
            quantiles = 0.01 * np.sqrt(step) * (np.asarray(QUANTILES) - 0.5) + 1e-17
            row = {
                "recipe": recipe,
                "calibrated": calibrated,
                "ticker": ticker,
                "made_on": pd.Timestamp(made_on),
                "step": step,
                "target_on": pd.Timestamp(made_on) + pd.Timedelta(step, "D"),
                "last_close": 100.1,
                "sigma": 0.012,
                **dict(zip(QUANTILE_COLUMNS, quantiles, strict=True)),
            }
            if calibrated:
                row |= dict(zip(INTERVAL_COLUMNS, (-1, 1, -2, 2, -3, 3), strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def append(ledger: Ledger, rows: pd.DataFrame, *, run: str = "r1", at: datetime = NOW) -> bool:
    return ledger.append(rows, run=run, issued_at=at, bars_sha="b", config_sha="c")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return a ledger with three forecasts, twelve rows."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    append(ledger, forecast())
    append(ledger, forecast("MDT"))
    append(ledger, forecast(made_on="2024-03-11"), at=NOW + timedelta(days=3))
    return ledger


def test_what_is_read_is_what_was_issued(ledger: Ledger):
    rows = ledger.read("MDT")
    expected = forecast("MDT")
    pd.testing.assert_frame_equal(rows[list(expected.columns)], expected, check_dtype=False)
    assert rows["issued_at"].unique().tolist() == [pd.Timestamp(NOW)]
    numbers = rows[NUMBERS].to_numpy()
    np.testing.assert_array_equal(numbers, expected[NUMBERS].to_numpy(np.float32).astype(float))
    assert len(ledger.read()) == 12
    assert ledger.head() == ledger.read()["hash"].iloc[-1] == ledger.verify().head


def test_a_ledger_that_does_not_exist_is_empty_and_is_not_made(tmp_path: Path):
    ledger = Ledger(tmp_path / "none" / "ledger.sqlite")
    assert (len(ledger.read()), ledger.head(), ledger.verify().rows) == (0, GENESIS, 0)
    assert not ledger.has("MRK", pd.Timestamp("2024-03-08"), "r1")
    assert not list(tmp_path.iterdir())


def test_a_forecast_is_issued_once_per_run(ledger: Ledger):
    assert not append(ledger, forecast())
    issued, other = (("MRK", pd.Timestamp("2024-03-08"), run) for run in ("r1", "r2"))
    assert ledger.has(*issued) and not ledger.has(*other)
    assert ledger.has_each([issued, other]) == {issued}
    assert len(ledger.read()) == 12
    assert append(ledger, forecast(), run="r2", at=NOW + timedelta(days=3))
    assert ledger.verify().rows == 16


def test_the_last_forecast_before_a_session_is_that_of_the_newest_origin(ledger: Ledger):
    rows = ledger.last_before("MRK", pd.Timestamp("2024-03-12"))
    assert rows["made_on"].unique().tolist() == [pd.Timestamp("2024-03-11")]
    assert rows["step"].tolist() == [1, 1]
    assert rows["calibrated"].tolist() == [True, False]
    rows = ledger.last_before("MRK", pd.Timestamp("2024-03-11"))
    assert rows["made_on"].unique().tolist() == [pd.Timestamp("2024-03-08")]
    assert not len(ledger.last_before("MRK", pd.Timestamp("2024-03-08")))
    assert not len(ledger.last_before("MDT", pd.Timestamp("2024-03-08")))
    assert not len(Ledger(ledger.path.parent / "none").last_before("MRK", pd.Timestamp.max))


LATER = NOW + timedelta(days=3)

KNOWN = "2024-03-15", "after", "confirmed", "yahoo"


def append_known(ledger: Ledger, ticker: str, report: Sequence[str] | None) -> None:
    ledger.append(
        forecast(ticker), run="r2", issued_at=LATER, bars_sha="b", config_sha="c", report=report
    )


def test_what_was_known_of_the_next_report_is_kept_and_hashed(ledger: Ledger):
    append_known(ledger, "A", KNOWN)
    append_known(ledger, "B", ())
    append_known(ledger, "C", None)
    kept = ledger.read().groupby("ticker", sort=False)[list(REPORT)].first()
    assert kept.loc["A"].tolist() == [pd.Timestamp(KNOWN[0]), *KNOWN[1:]]
    assert kept.loc["B"].dropna().tolist() == ["not known"]
    assert kept.loc[["C", "MRK"]].isna().all(axis=None)
    assert ledger.verify().rows == 24


def test_a_clock_set_back_issues_nothing(ledger: Ledger):
    past = NOW - timedelta(days=30)
    with pytest.raises(DataError, match="nothing is issued in the past"):
        append(ledger, forecast(made_on="2024-02-07"), at=past)
    assert ledger.verify().rows == 12
    # Time servers set clocks back by seconds.
    assert append(ledger, forecast("A"), at=NOW + timedelta(days=3, minutes=-5))


def test_a_number_that_is_not_finite_is_not_issued(ledger: Ledger):
    with pytest.raises(DataError, match="not finite"):
        append(ledger, forecast("A").assign(q10=np.nan), at=NOW + timedelta(days=4))
    assert ledger.verify().rows == 12


def test_a_newer_ledger_is_refused(ledger: Ledger):
    with sqlite3.connect(ledger.path) as plain:
        plain.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(DataError, match=f"Received: version {SCHEMA + 1}") as caught:
        ledger.read()
    assert caught.value.hint == "use the newer lstm that wrote it"


def test_somebody_elses_database_is_not_taken_over(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as plain:
        plain.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(DataError, match="something else"):
        append(Ledger(path), forecast())


@pytest.mark.parametrize("damage", ["junk", "truncated", "torn"])
def test_a_damaged_ledger_is_named_and_left_alone(ledger: Ledger, damage: str):
    for day in range(40):
        append(ledger, forecast(f"T{day}"), at=NOW + timedelta(days=4))
    whole = ledger.path.read_bytes()
    broken = {
        "junk": b"not a database" * 1000,
        "truncated": whole[: len(whole) // 2],
        "torn": whole[:8192] + b"\xff" * 8192 + whole[16384:],
    }[damage]
    ledger.path.write_bytes(broken)
    with pytest.raises(DataError, match="damaged") as caught:
        ledger.verify()
    assert "recover" in str(caught.value.hint)
    assert ledger.path.read_bytes() == broken


def test_a_folder_that_may_not_be_written_is_a_disk_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError):
        append(Ledger(tmp_path / "file" / "ledger.sqlite"), forecast())


def _write_many(path: Path, who: int) -> None:
    for number in range(10):
        append(Ledger(path), forecast(f"W{who}N{number}"))


def test_writers_at_once_leave_one_chain(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert Ledger(path).verify().rows == 3 * 10 * 4
    assert len(set(Ledger(path).read()["ticker"])) == 30


def _write_for_ever(path: Path) -> None:
    for day in range(10_000):
        issued = [Issued(forecast(f"T{n}", steps=9), f"r{day}", "b", "c") for n in range(20)]
        Ledger(path).append_all(issued, issued_at=NOW)


def test_a_writer_that_is_killed_leaves_whole_blocks(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    context = multiprocessing.get_context("spawn")
    for more in range(1, 4):
        before = ledger.blocks()
        writer = context.Process(target=_write_for_ever, args=(ledger.path,))
        writer.start()
        while ledger.blocks() < before + more:
            assert writer.is_alive()
            time.sleep(0.01)
        writer.kill()
        writer.join()
        verified = ledger.verify()
        assert verified.rows == verified.blocks * 20 * 18
        assert verified.rows == len(ledger.read())


def test_a_full_disk_appends_nothing(small_disk):
    disk = small_disk(400_000)
    ledger = Ledger(disk / "ledger.sqlite")
    with pytest.raises(DiskError, match="cannot be written"):
        for day in range(1_000):
            issued = [Issued(forecast(f"T{n}", steps=20), f"r{day}", "b", "c") for n in range(9)]
            ledger.append_all(issued, issued_at=NOW)
    verified = ledger.verify()
    assert verified.blocks >= 1
    assert verified.rows == verified.blocks * 9 * 40 == len(ledger.read())


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
                lambda text: "\0" not in text
            ),
            st.floats(-5, 5, allow_nan=False, width=32),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda pair: pair[0],
    )
)
@example([("A", -0.0)])
def test_any_ticker_and_number_comes_back(tmp_path_factory: pytest.TempPathFactory, issued):
    ledger = Ledger(tmp_path_factory.mktemp("any") / "ledger.sqlite")
    for ticker, number in issued:
        assert append(ledger, forecast(ticker).assign(q50=number))
    ledger.verify()
    rows = ledger.read().drop_duplicates("ticker")
    assert list(zip(rows["ticker"], rows["q50"], strict=True)) == issued
