"""Events: the table, the store, and a user's own file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Lstm, hinted, stored
from simulate import simulate_bars

from lstmcli.errors import DataError, NoDataError
from lstmcli.frames import EVENT_COLUMNS, check_events, empty_events
from lstmcli.store import Workspace
from lstmcli.store.events import EventStore
from lstmcli.store.locks import hold

KIND = "user:launch"
HEAD = "ticker,session,known_on\n"


def statements(*rows: tuple[str, str, str], **columns: object) -> pd.DataFrame:
    """Return statements: ticker, session, known_on; `columns` replaces other values."""
    table = pd.DataFrame(rows, columns=["ticker", "session", "known_on"]).assign(
        kind=KIND, timing="unknown", status="confirmed", amount=np.nan, source="user"
    )
    for name in ("session", "known_on"):
        table[name] = pd.to_datetime(table[name]).astype("datetime64[ns]")
    return table.assign(**columns)[list(EVENT_COLUMNS)]


MRK = ("MRK", "2008-03-10", "2008-01-02")
MDT = ("MDT", "2008-04-01", "2008-01-02")


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    return EventStore(tmp_path / "events")


# The table


def test_sound_events_pass_and_so_do_none():
    check_events(statements(MRK, MDT, amount=[1.5, np.nan]))
    check_events(empty_events())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timing": ["unknown", "noon"]}, "row 1: Expected timing .*'noon'"),
        ({"status": "maybe"}, "row 0: Expected status .*'maybe'"),
        ({"kind": "Launch Day"}, "row 0: Expected kind .*'Launch Day'"),
        ({"ticker": ["MRK", ""]}, "row 1: Expected ticker"),
        ({"source": None}, "row 0: Expected source"),
        ({"amount": [0.0, np.inf]}, "row 1: Expected amount"),
        ({"amount": "1"}, "Expected amount as float"),
        ({"session": pd.NaT}, "Expected session|row 0: Expected session"),
        ({"known_on": pd.Timestamp("2008-01-02 12:00").as_unit("ns")}, "row 0: Expected known_on"),
        ({"session": pd.Timestamp("2008-03-10", tz="UTC")}, "without a time zone"),
    ],
)
def test_events_that_break_a_rule_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        check_events(statements(MRK, MDT).assign(**changes))


def test_events_with_other_columns_are_refused():
    with pytest.raises(DataError, match="Received: ticker, kind"):
        check_events(statements(MRK).drop(columns="source"))


# The store


def test_stored_statements_come_back_as_they_were(store):
    rows = statements(MRK, MDT, amount=[0.1 + 0.2, np.nan], timing=["after", "before"])
    assert store.append(rows) == 2
    back = store.read(KIND)
    pd.testing.assert_frame_equal(back, rows)
    check_events(back)
    assert store.read(KIND, ["MDT"])["ticker"].tolist() == ["MDT"]
    assert store.read(KIND, ["A"]).empty
    assert store.kinds() == [KIND]


def test_each_kind_has_a_file_of_its_own(store):
    store.append(pd.concat([statements(MRK, kind="earnings"), statements(MDT)]))
    assert store.kinds() == ["earnings", KIND]
    assert store.read("earnings")["ticker"].tolist() == ["MRK"]
    with pytest.raises(NoDataError, match="no events of the kind user:trial") as caught:
        store.read("user:trial")
    assert caught.value.hint == "lstm events import FILE --kind trial"


def test_a_statement_is_not_stored_twice(store):
    assert store.append(statements(MRK, MRK)) == 1
    before = stored(store.folder)
    assert store.append(statements(MRK)) == 0
    assert stored(store.folder) == before
    assert store.append(statements(MDT, MRK, ("MRK", "2008-03-10", "2008-02-01"))) == 2
    assert store.read(KIND)["ticker"].tolist() == ["MRK", "MDT", "MRK"]


def test_a_change_of_mind_on_one_day_is_kept_in_order(store):
    for status in ("confirmed", "withdrawn", "withdrawn", "confirmed"):
        store.append(statements(MRK, status=status))
    assert store.read(KIND)["status"].tolist() == ["confirmed", "withdrawn", "confirmed"]


def test_unsound_statements_are_not_stored(store):
    with pytest.raises(DataError, match="status"):
        store.append(statements(MRK, status="maybe"))
    assert store.kinds() == []


@pytest.mark.parametrize("damage", ["one bit", "cut short", "empty", "another kind"])
def test_a_damaged_file_is_named_with_a_way_back(store, damage):
    store.append(statements(MRK, MDT, amount=[1.5, 2.5]))
    (path,) = store.folder.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[content.index(b"MRK")] ^= 1
    elif damage == "another kind":
        path = path.rename(path.with_name("earnings.parquet"))
    path.write_bytes({"cut short": content[:-20], "empty": b""}.get(damage, content))
    with pytest.raises(DataError, match=f"{re.escape(path.name)} is damaged") as caught:
        store.read("earnings" if damage == "another kind" else KIND)
    assert "move it away" in caught.value.hint
    with pytest.raises(DataError, match="is damaged"):
        store.append(statements(MDT, kind=store.kinds()[0]))
    assert path.exists()


def test_a_file_of_a_newer_version_is_refused(store, monkeypatch):
    monkeypatch.setattr("lstmcli.store.events.FORMAT", 2)
    store.append(statements(MRK))
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"format 1 or older\. Received: 2"):
        store.read(KIND)


# A user's file


def import_text(lstm: Lstm, text: str | bytes, *options: str):
    Path("my.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return lstm("events", "import", "my.csv", "--kind", "launch", *options)


def test_a_file_is_imported_and_listed(lstm, empty):
    text = HEAD + "mrk,2008-03-10,2008-01-02\n\n7203.T,2008-03-10,2008-03-10\n"
    answer = import_text(lstm, b"\xef\xbb\xbf" + text.encode())
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == (
        "user:launch: 2 statements, 2 of them new, 7203.T MRK, 2008-03-10 to 2008-03-10\n"
    )
    expected = statements(MRK, ("7203.T", "2008-03-10", "2008-03-10"))
    pd.testing.assert_frame_equal(Workspace(empty).events.read(KIND), expected)
    again = json.loads(import_text(lstm, text, "--json", "-q").out)
    assert (again["kind"], again["statements"], again["new"]) == (KIND, 2, 0)
    for words in (["events"], ["events", "list"], ["events", "list", "--kind", "launch"]):
        lines = lstm(*words).out.splitlines()
        assert lines[1].split() == [KIND, "7203.T", "MRK", "2", "2008-03-10", "2008-03-10"]
    listed = json.loads(lstm("events", "--json").out)
    of_one = json.loads(lstm("events", "list", "mrk", "--json").out)
    assert listed["schema"] == 2
    assert [entry["tickers"] for entry in listed["events"]] == [["7203.T", "MRK"]]
    assert of_one["events"] == [
        {
            "kind": KIND,
            "tickers": ["MRK"],
            "statements": 1,
            "first_session": "2008-03-10",
            "last_session": "2008-03-10",
            "amounts": None,
        }
    ]


def test_optional_columns_are_kept_and_what_they_leave_open_has_a_default(lstm, empty):
    head = "Known_On, Ticker, Session, Status, Timing, Amount\n"
    rows = "2008-01-02,MRK,2008-03-10,Withdrawn,after,-1.5e3\n2008-01-02,MDT,2008-04-01,,,\n"
    assert import_text(lstm, head + rows, "-q").err == ""
    expected = statements(MRK, MDT, status=["withdrawn", "confirmed"], amount=[-1500.0, np.nan])
    expected["timing"] = ["after", "unknown"]
    pd.testing.assert_frame_equal(Workspace(empty).events.read(KIND), expected)


MISTAKES = {
    "weekend": ("MRK,2008-03-08,2008-01-02", "a session of MRK .*a Saturday.* next one .*03-10"),
    "holiday": ("MRK,2008-07-04,2008-01-02", r"\(calendar XNYS\)\. Received: 2008-07-04"),
    "of another exchange": ("7203.T,2008-03-20,2008-01-02", r"\(calendar XTKS\).*2008-03-20"),
    "known after": ("MRK,2008-03-10,2008-03-11", "known_on no later than .*Received: 2008-03-11"),
    "no day": ("MRK,2008-02-30,2008-01-02", "session as a date .*'2008-02-30'"),
    "no date": ("MRK,2008-03-10,10/1/2008", "known_on as a date .*'10/1/2008'"),
    "no year": ("MRK,20080-03-10,2008-01-02", "session as a date"),
    "far away": ("MRK,2888-03-10,2008-01-02", "session as a date"),
    "no value": ("MRK,,2008-01-02", "session as a date .*''"),
    "bad ticker": ("M/RK,2008-03-10,2008-01-02", "a path separator"),
    "no ticker": (",2008-03-10,2008-01-02", "it is empty"),
    "too few": ("MRK,2008-03-10", "3 values. Received: 2"),
    "too many": ("MRK,2008-03-10,2008-01-02,1", "3 values. Received: 4"),
    "quote": ('"MRK,2008-03-10,2008-01-02', "separated by commas"),
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_by_its_line_and_nothing_is_stored(lstm, empty, line, message):
    answer = import_text(lstm, f"{HEAD}MRK,2008-03-10,2008-01-02\n{line}\n")
    assert (answer.code, answer.out) == (2, "")
    assert re.match(rf"error: my\.csv:3: Expected .*{message}", answer.err)
    assert hinted(answer) == ["lstm events import my.csv --kind launch"]
    assert not empty.exists()


@pytest.mark.parametrize(
    ("cells", "message"),
    [("noon,,", "timing .*'noon'"), (",maybe,", "status .*'maybe'"), (",,1e999", "amount .*1e999")],
)
def test_a_wrong_optional_value_is_refused(lstm, empty, cells, message):
    head = "ticker,session,known_on,timing,status,amount\n"
    answer = import_text(lstm, f"{head}MRK,2008-03-10,2008-01-02,{cells}\n")
    assert answer.code == 2
    assert re.match(rf"error: my\.csv:2: Expected {message}", answer.err)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "my.csv:1: Expected the columns .* Received: an empty file"),
        (b"\n\n", "my.csv:1: Expected the columns .* Received: an empty file"),
        (HEAD.encode(), "my.csv:2: Expected one event a line"),
        (b"ticker,session\nMRK,2008-03-10\n", "my.csv:1: .* Missing: known_on"),
        (b"ticker,session,known_on,statsu\n", "my.csv:1: .* Found: statsu"),
        (b"ticker,session,known_on,ticker\n", "my.csv:1: .* Repeated: ticker"),
        (HEAD.encode("utf-16"), "my.csv: Expected text in UTF-8"),
    ],
)
def test_a_file_of_another_form_is_refused(lstm, empty, content, message):
    answer = import_text(lstm, content)
    assert answer.code == 2
    assert re.match(f"error: {message}", answer.err)
    assert hinted(answer)
    assert not empty.exists()


def test_all_mistakes_are_told_at_once_up_to_twenty(lstm, empty):
    rows = ["MRK,2008-03-08,2008-01-02", "MRK,2008-03-10,2008-01-02", "MRK,x,y"]
    answer = import_text(lstm, HEAD + "\n".join(rows))
    assert re.findall(r"my\.csv:(\d+): Expected", answer.err) == ["2", "4", "4"]
    answer = import_text(lstm, HEAD + "MRK,2008-03-08,2008-01-02\n" * 25)
    assert len(re.findall(r"my\.csv:\d+:", answer.err)) == 20
    assert "… and 5 more\n" in answer.err


def test_two_lines_that_contradict_each_other_are_refused(lstm, empty):
    head = "ticker,session,known_on,status\n"
    line = "MRK,2008-03-10,2008-01-02,"
    answer = import_text(lstm, f"{head}{line}\n{line}\n{line}withdrawn\n")
    assert re.match(r"error: my\.csv:4: .* Line 2 says something else", answer.err)
    assert import_text(lstm, f"{head}{line}\n{line}\n").code == 0
    assert len(Workspace(empty).events.read(KIND)) == 1


def test_the_calendar_of_stored_bars_counts(lstm, empty):
    bars = simulate_bars(40, last="2008-03-07").rename_axis("Date")
    bars.drop(bars.index[-3])[["open", "high", "low", "close"]].to_csv("SIM.csv")
    fetch = ["fetch", "SIM", "--source", "csv", "--file", "SIM.csv", "--calendar", "weekdays"]
    assert lstm(*fetch).code == 0
    missing, holiday = f"{bars.index[-3]:%Y-%m-%d}", "2008-03-21"
    assert import_text(lstm, f"{HEAD}SIM,{holiday},2008-01-02\n").code == 0  # Good Friday
    answer = import_text(lstm, f"{HEAD}SIM,{missing},2008-01-02\n")
    assert answer.code == 2
    assert f"SIM (calendar weekdays). Received: {missing}" in answer.err


@pytest.mark.parametrize("file", ["nosuch.csv", "."])
def test_a_file_that_cannot_be_read_is_refused(lstm, empty, file):
    answer = lstm("events", "import", file, "--kind", "launch")
    assert answer.code == 2
    assert f"Received: {file}: " in answer.err
    assert hinted(answer)


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("user:launch", "launch"), ("Big Day", "big-day"), ("x" * 33, "x" * 32), ("!", "launch")],
)
def test_a_name_that_is_no_word_is_refused_with_one_that_is(lstm, empty, name, suggested):
    answer = lstm("events", "import", "my.csv", "--kind", name)
    assert answer.code == 2
    assert hinted(answer) == [f"lstm events import my.csv --kind {suggested}"]


def test_an_import_needs_the_workspace(lstm, empty, monkeypatch):
    monkeypatch.setattr("lstmcli.store.LOCK_PATIENCE", 0.1)
    with hold(empty, patience=0, hint=""):
        assert import_text(lstm, f"{HEAD}MRK,2008-03-10,2008-01-02\n").code == 7
    assert import_text(lstm, f"{HEAD}MRK,2008-03-10,2008-01-02\n").code == 0


def test_what_is_not_stored_is_not_listed(lstm, empty):
    answer = lstm("events")
    assert (answer.code, answer.out) == (0, "no events in data\n")
    import_text(lstm, f"{HEAD}MRK,2008-03-10,2008-01-02\n")
    assert lstm("events", "list", "MDT").code == 3
    answer = lstm("events", "list", "--kind", "trial")
    assert answer.code == 3
    assert hinted(answer) == ["lstm events import FILE --kind trial"]


def test_doctor_names_damaged_events(lstm, empty):
    import_text(lstm, f"{HEAD}MRK,2008-03-10,2008-01-02\n")
    assert re.search(r"^events user:launch +1 statements, readable$", lstm("doctor").out, re.M)
    (path,) = (empty / "events").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    answer = lstm("doctor")
    assert answer.code == 6
    assert f"{path.name} is damaged" in answer.err
