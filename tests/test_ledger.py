"""The ledger: append-only, chained, safe with several writers and a full disk."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sqlite3
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
from lstmcli.store import ledger_database
from lstmcli.store.ledger import GENESIS, Ledger
from lstmcli.store.ledger_database import COLUMNS, REPORT, SCHEMA

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
    assert len(ledger.read()) == 12
    assert ledger.head() == ledger.read()["hash"].iloc[-1] == ledger.verify().head


def test_the_file_names_a_calibrated_recipe_as_in_0_1(ledger: Ledger):
    with sqlite3.connect(ledger.path) as plain:
        stored = plain.execute("SELECT recipe FROM forecasts WHERE ticker = 'MDT' ORDER BY id")
        assert [text for (text,) in stored] == ["lstm+calibrated"] * 2 + ["ewma"] * 2
    rows = ledger.read("MDT")
    assert list(zip(rows["recipe"], rows["calibrated"], strict=True)) == [
        *[("lstm", True)] * 2,
        *[("ewma", False)] * 2,
    ]
    assert rows["calibrated"].dtype == ledger.read("nobody")["calibrated"].dtype == bool


def test_a_ledger_that_does_not_exist_is_empty_and_is_not_made(tmp_path: Path):
    ledger = Ledger(tmp_path / "none" / "ledger.sqlite")
    assert (len(ledger.read()), ledger.head(), ledger.verify().rows) == (0, GENESIS, 0)
    assert not ledger.has("MRK", pd.Timestamp("2024-03-08"), "r1")
    assert not list(tmp_path.iterdir())


def test_a_forecast_is_issued_once_per_run(ledger: Ledger):
    assert not append(ledger, forecast())
    assert ledger.has("MRK", pd.Timestamp("2024-03-08"), "r1")
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


def test_the_hash_is_what_the_documentation_says(ledger: Ledger):
    with sqlite3.connect(ledger.path) as plain:
        previous = GENESIS
        names = ", ".join(COLUMNS)
        for digest, *row in plain.execute(f"SELECT hash, {names} FROM forecasts ORDER BY id"):
            text = json.dumps([previous, *row], separators=(",", ":"), ensure_ascii=False)
            assert hashlib.sha256(text.encode()).hexdigest() == digest
            previous = digest
    assert previous == ledger.head() != GENESIS


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
    names = ", ".join(("previous", *COLUMNS, *REPORT))
    with sqlite3.connect(ledger.path) as plain:
        for digest, *row in plain.execute(f"SELECT hash, {names} FROM forecasts WHERE id = 13"):
            text = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
            assert hashlib.sha256(text.encode()).hexdigest() == digest


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ("report_status = 'expected' WHERE id = 14", 14),
        (
            "report_session = NULL, report_timing = NULL, report_status = NULL, "
            "report_source = NULL WHERE id = 13",
            13,
        ),
        ("report_source = 'yahoo' WHERE id = 1", 1),  # of a row that says nothing of a report
        ("report_session = '2024-03-20' WHERE id = 17", 17),  # where none was known
    ],
)
def test_verify_names_a_report_that_was_changed_by_hand(ledger: Ledger, change: str, row: int):
    append_known(ledger, "A", KNOWN)
    append_known(ledger, "B", ())
    with sqlite3.connect(ledger.path) as plain:
        plain.execute("DROP TRIGGER forecasts_are_not_changed")
        plain.execute(f"UPDATE forecasts SET {change}")
    with pytest.raises(DataError, match=f"row {row} .*was changed"):
        ledger.verify()


def test_a_ledger_without_reports_is_read_as_it_is_and_goes_on(tmp_path: Path, monkeypatch):
    old = Ledger(tmp_path / "ledger.sqlite")
    with monkeypatch.context() as before:  # as 0.1 and 0.2 made it
        before.setattr(ledger_database, "_MIGRATIONS", ledger_database._MIGRATIONS[:1])
        before.setattr(ledger_database, "SCHEMA", 1)
        with ledger_database.open_ledger(old.path, write=True):
            pass
    made = Ledger(tmp_path / "new.sqlite")
    append(made, forecast())
    names = ", ".join((*COLUMNS, "previous", "hash"))
    with sqlite3.connect(old.path) as plain:
        plain.execute("ATTACH ? AS made", (str(made.path),))
        plain.execute(f"INSERT INTO forecasts ({names}) SELECT {names} FROM made.forecasts")
        plain.commit()
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = old.path.read_bytes()
    head = old.verify().head
    assert old.read()[list(REPORT)].isna().all(axis=None)
    assert len(old.last_before("MRK", pd.Timestamp("2024-03-11"))) == 2
    assert old.path.read_bytes() == content
    append_known(old, "A", KNOWN)
    assert old.verify(holds=head).rows == 8
    assert old.read("A")["report_source"].unique().tolist() == ["yahoo"]


@pytest.mark.parametrize("statement", ["UPDATE forecasts SET q50 = 0", "DELETE FROM forecasts"])
def test_rows_are_neither_changed_nor_deleted(ledger: Ledger, statement: str):
    with (
        sqlite3.connect(ledger.path) as plain,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        plain.execute(statement)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE forecasts SET q50 = 0.5 WHERE id = 6", "row 6 .MDT 2024-03-08 2 r1 lstm.cal"),
        ("UPDATE forecasts SET issued_at = '2020-01-01' WHERE id = 2", "row 2 .*was changed"),
        ("UPDATE forecasts SET lo80 = NULL WHERE id = 1", "row 1 .*was changed"),
        ("DELETE FROM forecasts WHERE id = 3", "row 4 .*does not follow row 2"),
        ("UPDATE forecasts SET id = 99 WHERE id = 5", "row 6 .*does not follow row 4"),
    ],
)
def test_verify_names_what_was_changed_by_hand(ledger: Ledger, statement: str, named: str):
    with sqlite3.connect(ledger.path) as plain:
        plain.execute("DROP TRIGGER forecasts_are_not_changed")
        plain.execute("DROP TRIGGER forecasts_are_not_deleted")
        plain.execute(statement)
    with pytest.raises(DataError, match=named):
        ledger.verify()


def test_rows_cut_off_the_end_are_told_by_a_head_that_was_noted(ledger: Ledger):
    noted = ledger.head()
    assert ledger.verify(holds=noted).rows == 12
    with sqlite3.connect(ledger.path) as plain:
        plain.execute("DROP TRIGGER forecasts_are_not_deleted")
        plain.execute("DELETE FROM forecasts WHERE id > 8")
    assert ledger.verify().rows == 8
    with pytest.raises(DataError, match="missing from the end"):
        ledger.verify(holds=noted)


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


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
                lambda text: "\0" not in text
            ),
            st.floats(-5, 5, allow_nan=False),
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
