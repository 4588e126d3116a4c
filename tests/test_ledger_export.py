"""`lstm ledger export` and `verify`: all rows, in both forms, part by part."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from ledger_01 import append_rows, change
from test_ledger import NOW, append, forecast

from lstmcli.store.ledger import Ledger

DATES = ["made_on", "target_on", "report_session", "issued_at"]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return a ledger with rows of an older version and three blocks."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    ledger = Ledger(Path("data/ledger.sqlite"))
    append_rows(ledger.path, forecast(), at=NOW)
    for day, ticker in enumerate(("A", "B", "C"), start=1):
        append(ledger, forecast(ticker), at=NOW + timedelta(days=day))
    monkeypatch.setattr(Ledger.read_in_parts, "__defaults__", (5,))
    return ledger


@pytest.mark.parametrize(
    "line",
    ["", "all.csv", "-o all.csv", "all.parquet", "--format parquet all.out", "--format csv all"],
)
def test_all_rows_are_exported_in_either_form(ledger: Ledger, lstm, line: str):
    answer = lstm("ledger", "export", *line.split())
    assert answer.code == 0, answer.err
    expected = ledger.read()
    if "parquet" in line:
        got = pd.read_parquet(answer.out.strip())
    else:
        text = Path(answer.out.strip()).read_text() if line else answer.out
        got = pd.read_csv(io.StringIO(text), parse_dates=DATES)
        got["issued_at"] = got["issued_at"].astype(expected["issued_at"].dtype)
    assert list(got.columns) == list(expected.columns)
    assert got["ticker"].unique().tolist() == ["MRK", "A", "B", "C"]
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, check_exact=True)


@pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
def test_a_ledger_without_rows_is_exported_with_its_columns(tmp_path, lstm, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert lstm("ledger", "export", name).code == 0
    read = pd.read_csv if name.endswith("csv") else pd.read_parquet
    assert list(read(name).columns) == list(Ledger(Path("none")).read().columns)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("all.txt", "ends in .csv or .parquet"),
        ("all.csv -o other.csv", "Expected one file"),
        ("--format parquet", "it needs a file"),
        ("--format xlsx all.csv", "Expected --format csv or parquet"),
    ],
)
def test_an_export_that_cannot_be_is_refused(ledger: Ledger, lstm, line: str, said: str):
    answer = lstm("ledger", "export", *line.split())
    assert answer.code == 2
    assert said in answer.err
    hint = answer.hint.removeprefix("hint: ")
    assert lstm(*hint.split()[1:]).code == 0
    assert not Path("other.csv").exists()


def test_verify_counts_rows_and_blocks_and_names_a_noted_break_each_time(ledger: Ledger, lstm):
    answer = lstm("ledger", "verify")
    assert answer.out.splitlines()[0] == "16 rows, 3 blocks, every hash as it was written"
    told = json.loads(lstm("ledger", "verify", "--json").out)
    assert (told["rows"], told["blocks"], told["head"]) == (16, 3, ledger.head())
    broken = Ledger(Path("data2/ledger.sqlite"))
    broken.path.parent.mkdir()
    append_rows(broken.path, forecast(), at=NOW)
    change(broken.path, "UPDATE forecasts SET q50 = 0.5 WHERE id = 2")
    append(broken, forecast("A"), at=NOW)
    for _ in range(2):
        answer = lstm("ledger", "verify", "--workspace", "data2")
        assert answer.code == 6
        assert "row 2 (MRK 2024-03-08 2 r1 lstm+calibrated) was changed" in answer.err
        assert "All that followed holds: 1 block" in answer.err
    assert lstm("ledger", "export", "--workspace", "data2").code == 0
