"""A ledger of an older version: its rows stay as they are, and the new chain follows them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from ledger_01 import append_rows, change
from test_ledger import KNOWN, NOW, append, forecast

from lstmcli.errors import DataError
from lstmcli.store.ledger import GENESIS, Ledger
from lstmcli.store.ledger_schema import COLUMNS, REPORT

LATER = NOW + timedelta(days=3)


def rows_of(path: Path) -> list[tuple]:
    with sqlite3.connect(path) as plain:
        found = plain.execute("SELECT * FROM forecasts ORDER BY id").fetchall()
    plain.close()
    return found


@pytest.fixture
def old(tmp_path: Path) -> Ledger:
    """Return a ledger of rows with three forecasts, twelve rows."""
    path = tmp_path / "ledger.sqlite"
    append_rows(path, forecast(), at=NOW)
    append_rows(path, forecast("MDT"), at=NOW)
    append_rows(path, forecast(made_on="2024-03-11"), at=LATER)
    return Ledger(path)


def test_the_file_names_a_calibrated_recipe_as_in_0_1(old: Ledger):
    texts = [row[5] for row in rows_of(old.path)[4:8]]
    assert texts == ["lstm+calibrated"] * 2 + ["ewma"] * 2
    rows = old.read("MDT")
    assert list(zip(rows["recipe"], rows["calibrated"], strict=True)) == [
        *[("lstm", True)] * 2,
        *[("ewma", False)] * 2,
    ]
    assert rows["calibrated"].dtype == old.read("nobody")["calibrated"].dtype == bool


def test_the_hash_of_a_row_is_what_the_documentation_says(old: Ledger):
    append_rows(old.path, forecast("A"), at=LATER, report=KNOWN)
    previous = GENESIS
    names = ", ".join((*COLUMNS, *REPORT))
    with sqlite3.connect(old.path) as plain:
        for digest, *row in plain.execute(f"SELECT hash, {names} FROM forecasts ORDER BY id"):
            said = row if row[-1] else row[: -len(REPORT)]
            text = json.dumps([previous, *said], separators=(",", ":"), ensure_ascii=False)
            assert hashlib.sha256(text.encode()).hexdigest() == digest
            previous = digest
    assert previous == old.head() == old.verify().head


@pytest.mark.parametrize("schema", [1, 2])
def test_it_is_read_as_it_is_and_goes_on(tmp_path: Path, schema: int):
    old = Ledger(tmp_path / "ledger.sqlite")
    append_rows(old.path, forecast(), at=NOW, schema=schema)
    content, rows, head = old.path.read_bytes(), rows_of(old.path), old.verify().head
    before = old.read()
    assert before[list(REPORT)].isna().all(axis=None)
    assert len(old.last_before("MRK", pd.Timestamp("2024-03-11"))) == 2
    assert old.has("MRK", pd.Timestamp("2024-03-08"), "r1")
    assert old.issued_keys(pd.Timestamp("2024-03-08")) == {("MRK", "r1")}
    assert (old.blocks(), old.tickers(), old.origins("MRK")) == (0, ["MRK"], 1)
    assert old.path.read_bytes() == content

    assert not append(old, forecast(), at=LATER)
    assert append(old, forecast("A"), at=LATER)
    assert append(old, forecast(made_on="2024-03-11"), at=LATER)
    assert [row[: len(rows[0])] for row in rows_of(old.path)] == rows
    assert old.verify(holds=head).rows == 12
    after = old.read()
    pd.testing.assert_frame_equal(after.iloc[:4], before)
    assert after["id"].tolist() == list(range(1, 13))
    assert after["previous"].iloc[4] == head
    assert list(old.read(since_block=0)["ticker"].unique()) == ["A", "MRK"]
    pd.testing.assert_frame_equal(old.read(until_block=0), before)
    assert old.last_before("MRK", pd.Timestamp("2024-03-12"))["made_on"].nunique() == 1
    assert (old.tickers(), old.origins("MRK")) == (["MRK", "A"], 2)


@pytest.mark.parametrize("statement", ["UPDATE forecasts SET q50 = 0", "DELETE FROM forecasts"])
def test_rows_are_neither_changed_nor_deleted(old: Ledger, statement: str):
    with (
        sqlite3.connect(old.path) as plain,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        plain.execute(statement)


CHANGES = [
    ("UPDATE forecasts SET q50 = 0.5 WHERE id = 6", "row 6 .MDT 2024-03-08 2 r1 lstm.cal"),
    (
        "UPDATE forecasts SET issued_at = '2020-01-01T00:00:00+00:00' WHERE id = 2",
        "row 2 .*was changed",
    ),
    ("UPDATE forecasts SET lo80 = NULL WHERE id = 1", "row 1 .*was changed"),
    ("UPDATE forecasts SET report_source = 'yahoo' WHERE id = 1", "row 1 .*was changed"),
    ("DELETE FROM forecasts WHERE id = 3", "row 4 .*does not follow row 2"),
    ("UPDATE forecasts SET id = 99 WHERE id = 5", "row 6 .*does not follow row 4"),
]


@pytest.mark.parametrize(("statement", "named"), CHANGES)
@pytest.mark.parametrize("goes_on", [False, True])
def test_verify_names_what_was_changed_by_hand(
    old: Ledger, statement: str, named: str, goes_on: bool
):
    if goes_on:
        append(old, forecast("A"), at=LATER)
    change(old.path, statement)
    with pytest.raises(DataError, match=named):
        old.verify()


def test_verify_names_a_report_that_was_changed_by_hand(old: Ledger):
    append_rows(old.path, forecast("A"), at=LATER, report=KNOWN)
    old.verify()
    change(old.path, "UPDATE forecasts SET report_status = 'expected' WHERE id = 14")
    with pytest.raises(DataError, match=r"row 14 .*was changed"):
        old.verify()


def test_rows_cut_off_the_end_are_told_by_a_head_or_by_the_block_that_follows(old: Ledger):
    noted = old.head()
    assert old.verify(holds=noted).rows == 12
    whole = old.path.read_bytes()
    change(old.path, "DELETE FROM forecasts WHERE id > 8")
    assert old.verify().rows == 8
    with pytest.raises(DataError, match="the end is missing"):
        old.verify(holds=noted)
    old.path.write_bytes(whole)
    append(old, forecast("A"), at=LATER)
    change(old.path, "DELETE FROM forecasts WHERE id > 8")
    with pytest.raises(DataError, match="block 1 does not follow row 8"):
        old.verify()


@pytest.mark.parametrize(("statement", "named"), CHANGES)
def test_a_broken_chain_is_noted_for_ever_and_new_forecasts_go_on(
    old: Ledger, statement: str, named: str
):
    change(old.path, statement)
    rows, place = rows_of(old.path), old.position()
    assert append(old, forecast("A"), at=LATER)
    assert append(old, forecast("B"), at=LATER)
    assert rows_of(old.path) == rows
    for _ in range(2):
        with pytest.raises(DataError, match=named) as caught:
            old.verify()
        assert "block 1 noted it, 2024-03-11" in str(caught.value)
        assert f"holds: 2 blocks, head {old.head()}" in str(caught.value)
    assert old.blocks() == 3
    assert set(old.read()["ticker"]) == {"MRK", "MDT", "A", "B"}
    assert old.read(since_block=1)["ticker"].unique().tolist() == ["A", "B"]
    assert old.holds(place)
    rows, place = old.read_after(place, limit=100)
    assert rows["ticker"].unique().tolist() == ["A", "B"]
    assert place == old.position()
    whole = pd.concat(old.read_in_parts(5), ignore_index=True)
    pd.testing.assert_frame_equal(whole, old.read())


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE forecasts SET q50 = 0.7 WHERE id = 6", "rows of older .* were changed after"),
        ("UPDATE forecasts SET q50 = 0.7 WHERE id = 9", "rows of older .* were changed after"),
        ("DELETE FROM breaks", "row 6 .*was changed"),
        ("UPDATE breaks SET text = 'nothing'", "rows of older .* were changed after"),
        ("UPDATE breaks SET block = 2", "block 1 are not those"),
        ("UPDATE evenings SET q50_1 = 0", "the forecast of A from 2024-03-08 .*was changed"),
    ],
)
def test_what_is_changed_after_a_break_was_noted_is_named(old: Ledger, statement: str, named: str):
    change(old.path, "UPDATE forecasts SET q50 = 0.5 WHERE id = 6")
    append(old, forecast("A"), at=LATER)
    change(old.path, statement)
    with pytest.raises(DataError, match=named):
        old.verify()
