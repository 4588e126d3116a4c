"""Files of tickers, as editors, spreadsheets and brokers write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Lstm
from yahoo_server import Listing, YahooServer, traded

from lstmcli.cli.universe import read_universe
from lstmcli.errors import ConfigError
from lstmcli.store import Workspace

LIST = "# mine\nMRK\n\n  mdt  # what I watch, too\nBRK-B\n"
TABLE = (
    'Name,Symbol,Weight\n"Merck, Inc",MRK,0.1\nMedtronic,mdt,0.2\n# old: X,Y,Z\nBerkshire,BRK-B,\n'
)

FILES = {
    "a list": LIST.encode(),
    "Windows line ends": LIST.replace("\n", "\r\n").encode(),
    "old line ends": LIST.replace("\n", "\r").encode(),
    "a byte order mark": LIST.encode("utf-8-sig"),
    "UTF-16": LIST.encode("utf-16"),
    "UTF-16 without its mark": LIST[7:].encode("utf-16-le"),
    "UTF-16, big end first": LIST[7:].encode("utf-16-be"),
    "Latin-1": LIST.replace("mine", "größte").encode("latin-1"),
    "quoted": b"'MRK'\n\"MDT\"\nBRK-B",
    "one column": b"Ticker\nMRK\nMDT\nBRK-B\n",
    "a table": TABLE.encode(),
    "a table of Windows": TABLE.replace(",", ";").replace("\n", "\r\n").encode("utf-16"),
    "a table of Excel": b"sep=;\r\nSYMBOL;Shares\r\nMRK;1\r\nMDT;2\r\nBRK-B;\r\n",
    "tabs": b"shares\tticker\n1\tMRK\n2\tMDT\n3\tBRK-B\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_tickers_of_a_file_are_read(tmp_path, name, caplog):
    path = tmp_path / "list.txt"
    path.write_bytes(FILES[name])
    assert read_universe(path) == ["MRK", "MDT", "BRK-B"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Received: none"),
        (b"\n# nothing\n\n", "Received: none"),
        (b"Symbol,Name\n", "Received: none"),
        (b"PK\x03\x04\x00\x00\x00MRK", "bytes that are no text"),
        (b"name,weight\nMRK,0.1\n", "a column called ticker or symbol"),
        (None, "Is a directory"),
    ],
)
def test_what_is_no_file_of_tickers_is_refused(lstm, empty, content, said):
    path = empty.parent / "list.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_universe(path)
    for command in ("fetch", "predict", "daily"):
        answer = lstm(command, "--universe", path)
        assert (answer.code, answer.out, bool(answer.hint)) == (2, "", True)
    assert not empty.exists()


def test_a_large_file_with_errors_is_reported_in_a_line(tmp_path, caplog):
    names = [f"T{n:04d}" for n in range(4_975)]
    wrong = [f"A/{n}" for n in range(19)] + ["X" * 300]
    path = tmp_path / "list.txt"
    path.write_text("\n".join([*names, *wrong, *names[:5]]))
    assert read_universe(path) == [*names, *wrong]
    (line,) = caplog.messages
    assert line.startswith(f"{path}: 5 duplicates, 20 names that cannot be tickers: A/0, A/1, ")
    assert len(line) < len(str(path)) + 250


def test_wrong_and_unknown_names_stop_none_of_the_others(
    lstm: Lstm, empty: Path, yahoo: YahooServer, monkeypatch
):
    yahoo.listings = {"MRK": Listing(traded("2023-11-01", 125))}
    monkeypatch.setenv("LSTM_NOW", yahoo.now.isoformat())
    path = empty.parent / "list.txt"
    path.write_text("NONE1\r\nA/B\r\nMRK\r\nNONE2\r\nC/D\r\nmrk\r\n")
    answer = lstm("fetch", "--universe", path, "--bars-only")
    assert (answer.code, answer.err.count("error: ")) == (3, 2)
    assert "list.txt: 1 duplicate, 2 names that cannot be tickers: A/B, C/D\n" in answer.err
    assert "1 other ticker: the same (NONE2)." in answer.err
    assert "1 other ticker: the same (C/D)." in answer.err
    assert Workspace(empty).bars.tickers() == ["MRK"]
    quiet = lstm("fetch", "--universe", path, "--bars-only", "--quiet")
    assert "duplicate" not in quiet.err
