"""The blocks of the ledger: hashes, what a person with SQL sees, what was changed is named."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from ledger_01 import change
from test_ledger import KNOWN, NOW, append, forecast

from lstmcli.errors import DataError
from lstmcli.store.ledger import GENESIS, Issued, Ledger
from lstmcli.store.ledger_chain import hash_leaf, merkle_root
from lstmcli.store.ledger_payload import Layout, pack, unpack
from lstmcli.store.ledger_schema import BLOCK, PLAIN

LATER = NOW + timedelta(days=3)


def issued(*tickers: str, run: str = "r1", steps: int = 2) -> list[Issued]:
    return [Issued(forecast(ticker, steps=steps), run, "b", "c", KNOWN) for ticker in tickers]


def fill(ledger: Ledger) -> Ledger:
    """Issue two blocks, of three forecasts and of one."""
    assert ledger.append_all(issued("A", "B", "C"), issued_at=NOW) == [True] * 3
    assert ledger.append_all(issued("A", "D"), issued_at=NOW) == [False, True]
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return fill(Ledger(tmp_path / "ledger.sqlite"))


def query(ledger: Ledger, sql: str) -> list[tuple]:
    with sqlite3.connect(ledger.path) as plain:
        found = plain.execute(sql).fetchall()
    plain.close()
    return found


def test_what_is_issued_together_is_one_block(ledger: Ledger):
    assert query(ledger, "SELECT number, count, first_row FROM blocks") == [(1, 3, 1), (2, 1, 13)]
    assert ledger.blocks() == 2
    assert ledger.read()["id"].tolist() == list(range(1, 17))
    assert ledger.read()["ticker"].unique().tolist() == ["A", "B", "C", "D"]
    assert ledger.read(since_block=1)["id"].tolist() == [13, 14, 15, 16]
    assert ledger.read(since_block=1, until_block=1).empty
    assert ledger.read(since_block=2).empty
    assert ledger.read(until_block=1)["id"].tolist() == list(range(1, 13))
    assert ledger.append_all([], issued_at=NOW) == []
    assert ledger.append_all(issued("A", "D"), issued_at=NOW) == [False, False]
    assert ledger.blocks() == 2
    assert ledger.append_all(issued("E", "E"), issued_at=NOW) == [True, False]
    keys = {(ticker, "r1") for ticker in "ABCDE"}
    assert ledger.issued_keys(pd.Timestamp("2024-03-08")) == keys
    assert ledger.issued_keys(pd.Timestamp("2024-03-07")) == set()
    assert ledger.tickers() == list("ABCDE")
    assert (ledger.runs(), ledger.origins("A"), ledger.origins("Z")) == ({"r1"}, 1, 0)
    assert ledger.knows("A")
    assert not ledger.knows("Z")


def test_the_rows_since_an_origin_are_read(ledger: Ledger):
    append(ledger, forecast("A", made_on="2024-03-11"), at=LATER)
    rows = ledger.read(made_on_from=pd.Timestamp("2024-03-09"))
    assert (rows["ticker"].unique().tolist(), len(rows)) == (["A"], 4)
    assert len(ledger.read("A", made_on_from=pd.Timestamp("2024-03-08"))) == 8


@pytest.mark.parametrize("rows", [1, 5, 12, 100])
def test_a_ledger_is_read_in_parts(ledger: Ledger, rows: int):
    append(ledger, forecast("A", made_on="2024-03-11"), at=LATER)
    parts = [part for part in ledger.read_in_parts(rows)]
    assert len(parts) == {1: 3, 5: 2, 12: 2, 100: 1}[rows]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), ledger.read())


def test_a_reader_goes_on_where_it_stopped(ledger: Ledger):
    rows, place = ledger.read_after(None, limit=1)
    assert (len(rows), place) == (12, (12, rows["hash"].iloc[0]))
    rows, place = ledger.read_after(place, limit=1)
    assert rows["ticker"].unique().tolist() == ["D"]
    assert place == ledger.position() == (16, ledger.head())
    append(ledger, forecast("A", made_on="2024-03-11"), at=LATER)
    assert ledger.holds(place)
    assert ledger.holds((0, GENESIS))
    for wrong in ((15, place[1]), (12, place[1]), (17, place[1]), (16, GENESIS), (0, "x")):
        assert not ledger.holds(wrong)
    rows, place = ledger.read_after(place, limit=9)
    assert rows["id"].tolist() == [17, 18, 19, 20]
    assert place == ledger.position()
    again, same = ledger.read_after(place, limit=9)
    assert (len(again), same) == (0, place)
    origins = [pd.Timestamp("2024-03-11"), pd.Timestamp("2024-03-12")]
    pd.testing.assert_frame_equal(ledger.read_origins(origins), rows)
    none = Ledger(ledger.path.parent / "none")
    assert none.position() == (0, GENESIS)
    assert none.read_origins(origins).empty
    assert none.read_after(None, limit=1)[0].empty


def test_a_block_without_its_forecasts_is_passed_over(ledger: Ledger):
    append(ledger, forecast("E"), at=LATER)
    change(ledger.path, "DELETE FROM evenings WHERE block = 2")
    parts = [part["ticker"].unique().tolist() for part in ledger.read_in_parts(1)]
    assert parts == [["A", "B", "C"], ["E"]]
    change(ledger.path, "DELETE FROM evenings WHERE block = 3")
    assert [len(part) for part in ledger.read_in_parts(1)] == [12]


def test_the_last_forecasts_of_many_tickers_are_read_at_once(ledger: Ledger):
    append(ledger, forecast("A", made_on="2024-03-11"), at=LATER)
    before = {"A": "2024-03-12", "B": "2024-03-12", "C": "2024-03-08", "Z": "2024-03-12"}
    asked = {ticker: pd.Timestamp(session) for ticker, session in before.items()}
    found = ledger.last_before_each(asked)
    made_on = {ticker: f"{rows['made_on'].iloc[0]:%Y-%m-%d}" for ticker, rows in found.items()}
    assert made_on == {"A": "2024-03-11", "B": "2024-03-08"}
    for ticker, rows in found.items():
        pd.testing.assert_frame_equal(rows, ledger.last_before(ticker, asked[ticker]))


def test_people_with_sql_find_the_usual_numbers(ledger: Ledger):
    append(ledger, forecast("L", steps=20), at=NOW)
    (row,) = query(
        ledger,
        "SELECT recipe, target_on, last_close, sigma, q50_1, lo80_1, hi80_20, report_session, "
        "issued_at FROM evenings JOIN blocks ON number = block WHERE ticker = 'L'",
    )
    rows = ledger.read("L").set_index("step")
    assert row[:4] == ("lstm", "2024-03-09", 100.1, 0.012)
    assert row[4:7] == (rows["q50"].iloc[0], rows["lo80"].iloc[0], rows["hi80"].iloc[19])
    assert row[7:] == (None, "2024-03-08T22:00:00+00:00")
    ((short,),) = query(ledger, "SELECT q50_20 FROM evenings WHERE ticker = 'A'")
    assert short is None
    ((source,),) = query(ledger, "SELECT report_source FROM evenings WHERE ticker = 'A'")
    assert source == "yahoo"


def test_the_hashes_are_what_the_documentation_says(ledger: Ledger):
    def canonical(values: list) -> bytes:
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()

    previous = GENESIS
    for *values, digest in query(ledger, f"SELECT {', '.join(BLOCK)}, hash FROM blocks"):
        number, root = values[0], values[4]
        leaves = []
        for payload, layout, *plain in query(
            ledger,
            f"SELECT payload, text, {', '.join(f'evenings.{name}' for name in PLAIN)} "
            "FROM evenings JOIN payloads USING (first_row) JOIN layouts USING (layout) "
            f"WHERE block = {number} ORDER BY evenings.first_row",
        ):
            said = [*plain, layout, hashlib.sha256(payload).hexdigest()]
            leaves.append(hashlib.sha256(b"\0" + canonical(said)).digest())
        if len(leaves) == 3:
            pair = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
            assert hashlib.sha256(b"\1" + pair + leaves[2]).hexdigest() == root
        else:
            assert leaves[0].hex() == root
        assert values[5] == previous
        assert hashlib.sha256(canonical(values)).hexdigest() == digest
        previous = digest
    assert previous == ledger.head() == ledger.read()["hash"].iloc[-1]
    assert ledger.verify().blocks == 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20), st.data())
def test_a_root_changes_with_any_bit_of_a_leaf_and_with_their_order(leaves, data):
    root = merkle_root(leaves)
    changed = list(leaves)
    where = data.draw(st.integers(0, len(leaves) - 1))
    bit = data.draw(st.integers(0, 255))
    flipped = int.from_bytes(leaves[where], "big") ^ (1 << bit)
    changed[where] = flipped.to_bytes(32, "big")
    assert merkle_root(changed) != root
    assert merkle_root([*leaves, leaves[-1]]) != root
    if leaves[::-1] != leaves:
        assert merkle_root(leaves[::-1]) != root
    # A node is no leaf: the tree over the upper level has another root.
    if len(leaves) == 2:
        assert hash_leaf([leaves[0].hex(), leaves[1].hex()]).hex() != root


TABLES = {"blocks": "number", "evenings": "first_row", "payloads": "first_row"}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_value_that_is_changed_is_found(tmp_path_factory: pytest.TempPathFactory, data):
    """Of every column of every row: a bit of bytes or text, a digit of a number."""
    place = tmp_path_factory.mktemp("changed") / "ledger.sqlite"
    fill(Ledger(place))
    ledger = Ledger(place)
    table = data.draw(st.sampled_from(sorted(TABLES)))
    key = TABLES[table]
    names = [row[1] for row in query(ledger, f"PRAGMA table_info({table})")]
    name = data.draw(st.sampled_from([each for each in names if each != key]))
    rows = query(ledger, f"SELECT {key}, {name} FROM {table}")
    row, value = data.draw(st.sampled_from(rows))
    if value is None:
        new = 0.25
    elif isinstance(value, (int, float)):
        new = value + data.draw(st.sampled_from([1, -1]))
    else:
        content = bytearray(value if isinstance(value, bytes) else value.encode())
        where = data.draw(st.integers(0, len(content) - 1))
        content[where] ^= 1 << data.draw(st.integers(0, 6))
        new = bytes(content) if isinstance(value, bytes) else content.decode(errors="replace")
    change(place)
    with sqlite3.connect(place) as plain:
        try:
            plain.execute(f"UPDATE {table} SET {name} = ? WHERE {key} = ?", (new, row))
        except sqlite3.IntegrityError:  # the file holds such a row already
            reject()
    plain.close()
    with pytest.raises(DataError, match=r"block \d|row \d|damaged") as caught:
        ledger.verify()
    if table != "blocks" and name not in ("block", "ticker", "made_on", "run"):
        ((who,),) = query(ledger, f"SELECT ticker FROM evenings WHERE first_row = {row}")
        assert f"the forecast of {who} from 2024-03-08 by r1" in str(caught.value)


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["DELETE FROM evenings WHERE ticker = 'B'"], "forecast of C .* does not begin with row 5"),
        (["DELETE FROM evenings WHERE ticker = 'C'"], "block 1 are not those .* 2 of 3"),
        (["DELETE FROM payloads WHERE first_row = 5"], "forecast of B .* has lost its numbers"),
        (["DELETE FROM blocks WHERE number = 1"], "block 2 does not follow row 0"),
        (["DELETE FROM blocks WHERE number = 2"], "forecast of D .* belongs to no block"),
        (["UPDATE layouts SET text = replace(text, 'ewma', 'drift')"], "forecast of A .* changed"),
        (["UPDATE evenings SET leaf = x'00' WHERE ticker = 'B'"], "forecast of B .* changed"),
        (
            [
                "UPDATE evenings SET first_row = 99 WHERE ticker = 'A'",
                "UPDATE payloads SET first_row = 99 WHERE first_row = 1",
            ],
            "does not begin with row 1",
        ),
        (["INSERT INTO breaks VALUES (9, 1, 'x', 'y', x'00')"], "no block noted"),
    ],
)
def test_what_is_missing_or_out_of_place_is_named(ledger: Ledger, statements, named: str):
    change(ledger.path, *statements)
    with pytest.raises(DataError, match=named):
        ledger.verify()


@pytest.mark.parametrize(
    "table", ["blocks", "evenings", "payloads", "layouts", "breaks", "archives"]
)
def test_nothing_is_changed_or_deleted(ledger: Ledger, table: str):
    with sqlite3.connect(ledger.path) as plain:
        if table == "breaks":
            plain.execute("INSERT INTO breaks VALUES (9, 1, 'x', 'y', x'00')")
        if table == "archives":
            plain.execute("INSERT INTO archives VALUES (1, 0, 'x', 'y')")
        (column,) = [row[1] for row in plain.execute(f"PRAGMA table_info({table})")][:1]
        for statement in (f"UPDATE {table} SET {column} = 7", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                plain.execute(statement)
    plain.close()


def test_a_block_cut_off_the_end_is_told_by_a_head_that_was_noted(ledger: Ledger):
    noted = ledger.head()
    assert ledger.verify(holds=noted).rows == 16
    change(
        ledger.path,
        "DELETE FROM blocks WHERE number = 2",
        "DELETE FROM evenings WHERE block = 2",
        "DELETE FROM payloads WHERE first_row = 13",
    )
    assert ledger.verify().rows == 12
    with pytest.raises(DataError, match="the end is missing"):
        ledger.verify(holds=noted)


def test_numbers_that_cannot_be_unpacked_are_a_damaged_ledger(ledger: Ledger):
    change(ledger.path, "UPDATE payloads SET payload = substr(payload, 1, 40)")
    with pytest.raises(DataError, match=r"damaged .it "):
        ledger.read()
    change(ledger.path, "UPDATE payloads SET payload = x'0200'")
    with pytest.raises(DataError, match="packed in version 02"):
        ledger.read()


def random_forecast(random: np.random.Generator, steps: list[int]) -> pd.DataFrame:
    rows = forecast(steps=max(steps)).query("step in @steps")
    rows = rows.sample(frac=1, random_state=random) if random.random() < 0.5 else rows
    numbers = rows.filter(regex=r"^(q|lo|hi)\d").columns
    noise = random.normal(0, 0.01, (len(rows), len(numbers))).astype(np.float32)
    return rows.assign(**(rows[numbers] + noise)).reset_index(drop=True)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 250), min_size=1, max_size=6, unique=True),
)
def test_what_is_packed_is_unpacked(seed: int, steps: list[int]):
    random = np.random.default_rng(seed)
    forecasts = [random_forecast(random, steps) for _ in range(3)]
    for each in forecasts:
        layout, payload = pack(each)
        assert Layout.parse(layout.text) == layout
        days, values = unpack(layout, [payload, payload])
        np.testing.assert_array_equal(layout.steps, each["step"])
        np.testing.assert_array_equal(layout.repeat("recipe"), each["recipe"])
        np.testing.assert_array_equal(layout.repeat("calibrated"), each["calibrated"])
        np.testing.assert_array_equal(days[1], (each["target_on"] - each["made_on"]).dt.days)
        expected = each.filter(regex=r"^(sigma|(q|lo|hi)\d)").to_numpy(np.float32)
        np.testing.assert_array_equal(values[1], expected)


def test_a_forecast_takes_few_bytes(tmp_path: Path):
    """Of twenty steps and nine recipes beside, with the indexes."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    random = np.random.default_rng(1)
    for evening in range(3):
        one = []
        for number in range(40):
            rows = random_forecast(random, list(range(1, 21)))
            published = rows[rows["calibrated"]]
            judged = rows[~rows["calibrated"] & rows["step"].isin((1, 5, 10, 20))]
            beside = [judged.assign(recipe=f"baseline{n}") for n in range(9)]
            whole = pd.concat([published, *beside], ignore_index=True)
            whole = whole.assign(ticker=f"T{number}", made_on=pd.Timestamp(2024, 3, 4 + evening))
            whole["target_on"] = whole["made_on"] + pd.to_timedelta(whole["step"], "D")
            one.append(Issued(whole, "20240308T233000Z-panel-51f7527b", "b" * 64, "c" * 64, KNOWN))
        ledger.append_all(one, issued_at=NOW + timedelta(days=evening))
    with sqlite3.connect(ledger.path) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    plain.close()
    assert ledger.path.stat().st_size < 7_000 * 120
    assert ledger.verify().rows == 56 * 120
