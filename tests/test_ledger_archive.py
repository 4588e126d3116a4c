"""Old numbers in a file of their own: the chain stays, and they are found again."""

from __future__ import annotations

import json
import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from command import hinted
from ledger_01 import append_rows, change
from test_ledger import NOW, append, forecast

from lstmcli.errors import DataError, DiskError, NoDataError
from lstmcli.store import ledger_archive
from lstmcli.store.ledger import Ledger

LATER = NOW + timedelta(days=30)
BEFORE = date(2024, 3, 10)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return a ledger with rows of an older version, and blocks of three days."""
    path = tmp_path / "data" / "ledger.sqlite"
    path.parent.mkdir()
    ledger = Ledger(path)
    append_rows(path, forecast("OLD"), at=NOW)
    append(ledger, forecast("A"), at=NOW)
    append(ledger, forecast("B"), at=NOW + timedelta(days=1))
    append(ledger, forecast("C"), at=NOW + timedelta(days=2))
    return ledger


def archived(ledger: Ledger, name: str = "old.sqlite", before: date = BEFORE) -> Path:
    file = ledger.path.parent.parent / "elsewhere" / name
    ledger.archive(file, before=before, now=LATER)
    return file


def test_everything_is_read_and_verified_as_before(ledger: Ledger):
    before, verified = ledger.read(), ledger.verify()
    moved = ledger.archive(ledger.path.parent / "old.sqlite", before=BEFORE, now=LATER)
    assert (moved.forecasts, moved.last_block, moved.compact) == (2, 2, True)
    assert moved.size == (ledger.path.parent / "old.sqlite").stat().st_size
    pd.testing.assert_frame_equal(ledger.read(), before)
    after = ledger.verify()
    assert (after.rows, after.head, after.archived) == (verified.rows, verified.head, 2)
    # And goes on: more forecasts, and a second archive.
    append(ledger, forecast("D"), at=LATER)
    moved = ledger.archive(ledger.path.parent / "more.sqlite", before=date(2024, 3, 20), now=LATER)
    assert (moved.forecasts, moved.last_block) == (1, 3)
    assert ledger.verify().archived == 3
    assert ledger.read()["ticker"].unique().tolist() == ["OLD", "A", "B", "C", "D"]


def test_the_ledger_becomes_smaller(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in range(60):
        append(ledger, forecast(f"T{number}", steps=60), at=NOW)
    before = ledger.path.stat().st_size
    archived(ledger)
    assert ledger.path.stat().st_size < 0.5 * before
    assert ledger.verify().archived == 60


def test_an_archive_beside_the_ledger_is_found_where_both_were_moved(ledger: Ledger, tmp_path):
    before, file = ledger.read(), archived(ledger)
    away = tmp_path / "away"
    ledger.path.parent.rename(away)
    file.rename(away / file.name)
    pd.testing.assert_frame_equal(Ledger(away / "ledger.sqlite").read(), before)


def test_without_the_file_the_chain_holds_and_what_is_missing_is_named(ledger: Ledger):
    head, file = ledger.head(), archived(ledger)
    file.rename(file.with_name("hidden"))
    verified = ledger.verify()
    assert (verified.head, verified.archived, verified.absent) == (head, 2, ("old.sqlite",))
    for ask in (ledger.read, lambda: ledger.read("A"), lambda: [*ledger.read_in_parts(1)]):
        with pytest.raises(DataError, match=r"are in an archive: old\.sqlite, which is not there"):
            ask()
    assert len(ledger.read("C")) == len(ledger.read("OLD")) == 4
    assert (ledger.origins("A"), ledger.tickers()) == (1, ["OLD", "A", "B", "C"])
    assert append(ledger, forecast("D"), at=LATER)
    assert ledger.verify().rows == 20


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE payloads SET payload = zeroblob(20)", "other numbers of row 5 than were"),
        ("DELETE FROM payloads WHERE first_row = 9", "numbers of 1 forecast are in an archive"),
        ("PRAGMA application_id = 1", "is no archive"),
    ],
)
def test_a_changed_archive_is_named(ledger: Ledger, statement: str, named: str):
    file = archived(ledger)
    with sqlite3.connect(file) as plain:
        plain.execute(statement)
    plain.close()
    with pytest.raises(DataError, match=named):
        ledger.verify()
    with pytest.raises(DataError, match=named):
        ledger.read()


def test_a_damaged_archive_is_named(ledger: Ledger):
    file = archived(ledger)
    file.write_bytes(b"junk" * 5000)
    with pytest.raises(DataError, match=r"old\.sqlite is damaged"):
        ledger.read()


def test_what_was_changed_before_is_named_and_nothing_is_moved(ledger: Ledger):
    with sqlite3.connect(ledger.path) as plain:
        plain.execute("DROP TRIGGER payloads_are_not_changed")
        plain.execute("UPDATE payloads SET payload = x'01' WHERE first_row = 9")
    plain.close()
    with pytest.raises(DataError, match="row 9 were changed; nothing is moved"):
        archived(ledger)
    assert ledger.read("A")["id"].tolist() == [5, 6, 7, 8]
    assert not [*(ledger.path.parent.parent / "elsewhere").iterdir()]


def test_what_is_not_archived_is_still_not_deleted(ledger: Ledger):
    archived(ledger)
    with (
        sqlite3.connect(ledger.path) as plain,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        plain.execute("DELETE FROM payloads")
    plain.close()
    change(ledger.path, "DELETE FROM payloads")
    with pytest.raises(DataError, match=r"forecast of C .* has lost its numbers"):
        ledger.verify()


def test_an_archive_replaces_nothing_and_is_not_empty(ledger: Ledger):
    file = archived(ledger)
    with pytest.raises(DiskError, match="is there already"):
        ledger.archive(file, before=date(2024, 3, 20), now=LATER)
    for before in (BEFORE, date(2020, 1, 1)):
        with pytest.raises(NoDataError, match="no numbers"):
            archived(ledger, "other.sqlite", before)
    with pytest.raises(NoDataError, match="no ledger"):
        Ledger(file.parent / "none").archive(file, before=BEFORE, now=LATER)


def test_a_full_disk_moves_nothing(ledger: Ledger, small_disk):
    for number in range(60):
        append(ledger, forecast(f"T{number}", steps=60), at=NOW + timedelta(days=2))
    before = ledger.read()
    disk = small_disk(20_000)
    with pytest.raises(DiskError):
        ledger.archive(disk / "old.sqlite", before=date(2024, 3, 20), now=LATER)
    assert not [*disk.iterdir()]
    pd.testing.assert_frame_equal(ledger.read(), before)
    assert ledger.verify().archived == 0


def test_without_room_to_write_the_ledger_anew_it_keeps_its_size(ledger: Ledger, monkeypatch):
    monkeypatch.setattr(ledger_archive, "_compact", lambda _: False)
    moved = ledger.archive(ledger.path.parent / "old.sqlite", before=BEFORE, now=LATER)
    assert not moved.compact
    assert ledger.verify().archived == 2


def test_the_command_archives_and_says_so(ledger: Ledger, lstm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ledger.path.parent.parent)
    line = ["ledger", "archive", "--before", "2024-03-10", "old.sqlite"]
    answer = lstm(*line)
    assert (answer.code, answer.out) == (0, "old.sqlite\n"), answer.err
    assert answer.err.startswith("2 forecasts, 0.0 MB")
    verified = lstm("ledger", "verify")
    assert verified.out.splitlines()[-1] == "the numbers of 2 forecasts are archived: compared"
    assert lstm("ledger", "export").out.count("\n") == 17
    assert lstm(*line).code == 8
    assert lstm("ledger", "archive", "--before", "soon", "x.sqlite").code == 2
    Path("old.sqlite").unlink()
    verified = lstm("ledger", "verify")
    assert "not compared, because old.sqlite is not there" in verified.out
    assert json.loads(lstm("ledger", "verify", "--json").out)["absent"] == ["old.sqlite"]
    for command in ("ledger export", "score"):
        answer = lstm(*command.split())
        assert answer.code == 6
        assert "old.sqlite, which is not there" in answer.err
        assert hinted(answer) == [] and "put the file into" in answer.hint
