"""One command reads, hashes and parses each file once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import TINY, Lstm
from simulate import simulate_bars

from lstmcli.errors import DataError, NoDataError
from lstmcli.forecasters import network
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.session import Session
from lstmcli.sources import CsvSource
from lstmcli.store import Workspace, bars
from lstmcli.store.bars import BarsMeta
from lstmcli.store.runs import Manifest, RunStore

pytestmark = pytest.mark.process

KINDS = {"bars read", "bars hashed", "manifest parsed", "run hashed", "runs listed", "windows cut"}

ONE_FOLD = ["--set", "window.horizon=2", "--set", "backtest.folds=1"]
ONE_FOLD += ["--set", "backtest.start=2008-08-01"]


def write_csv(table: pd.DataFrame, path: Path) -> None:
    columns = ["open", "high", "low", "close", "volume"]
    table.rename_axis("Date")[columns].to_csv(path)


@pytest.fixture
def session(workspace: Path) -> Session:
    """Return a new session of a workspace with bars of GOOG and SIM and a run of both."""
    return Session(Workspace(workspace))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Return how often each thing has been read, hashed or parsed, by kind and name."""
    counted: Counter[tuple[str, str]] = Counter()

    def count(owner: Any, name: str, kind: str, key: Callable[..., str]) -> None:
        function = getattr(owner, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            counted[kind, key(*arguments, **options)] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)

    def content(sessions: np.ndarray, values: np.ndarray) -> str:
        return f"{values[0, 3]} {len(sessions)}"

    count(bars, "_decode", "bars read", lambda content, path, ticker, **_: ticker)
    count(bars, "_hash_of", "bars hashed", content)
    count(Manifest, "model_validate", "manifest parsed", lambda stated: stated["run"])
    count(RunStore, "read", "run hashed", lambda store, manifest: manifest.run)
    count(RunStore, "names", "runs listed", lambda store: "")
    count(network, "cut_windows", "windows cut", lambda *arguments, **options: "")
    return counted


def test_one_session_reads_each_file_once(session, reads):
    for _ in range(2):
        session.panel([])
        session.panel(["GOOG"])
        session.bars("SIM")
        run = session.latest(["SIM"]).run
        session.latest()
        session.manifests()
        session.fitted(session.manifest(run).run)
        session.config(run)
    kinds = Counter(kind for kind, _ in reads)
    assert kinds["bars read"] == kinds["bars hashed"] == 2
    assert kinds["manifest parsed"] == kinds["run hashed"] == kinds["runs listed"] == 1
    assert set(reads.values()) == {1}


def test_the_networks_of_a_run_are_loaded_once(session):
    run = session.latest().run
    assert session.fitted(run) is session.fitted(run)


@pytest.mark.parametrize(
    "line",
    [
        ["predict"],
        ["predict", "GOOG", "SIM"],
        ["plot", "SIM"],
        ["plot", "--kind", "training"],
        ["status"],
        ["runs"],
        ["doctor"],
        ["schedule"],
        ["train", *TINY],
        ["train", "--dry-run", *TINY],
        ["backtest", "--dry-run", *TINY, *ONE_FOLD],
        ["fetch"],
        ["daily", "-q"],
    ],
    ids=" ".join,
)
def test_a_command_reads_and_hashes_nothing_twice(workspace, lstm: Lstm, reads, line):
    assert lstm(*line).code == 0
    assert reads
    assert {what: count for what, count in reads.items() if count > 1} == {}


def test_an_evening_with_new_bars_reads_and_hashes_nothing_twice(
    workspace, tmp_path, monkeypatch, lstm: Lstm, reads
):
    def deliver(sessions: int) -> None:
        for seed, ticker in enumerate(("GOOG", "SIM")):
            bars = simulate_bars(561, last="2008-10-15", seed=seed)
            write_csv(bars[:sessions], tmp_path / f"{ticker}.csv")

    deliver(560)
    for ticker in ("GOOG", "SIM"):
        source = ["--source", "csv", "--file", tmp_path / f"{ticker}.csv"]
        assert lstm("fetch", ticker, *source, "--replace").code == 0
    deliver(561)
    reads.clear()
    monkeypatch.setenv("LSTM_NOW", "2008-10-15T23:00:00+00:00")
    answer = lstm("daily")
    assert answer.code == 0, answer.err
    assert "2 forecast" in answer.err
    assert {kind for kind, _ in reads} == KINDS
    assert {what: count for what, count in reads.items() if count > 1} == {}


def test_errors_are_remembered(session, reads):
    path = session.workspace.bars.folder / "GOOG.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    for _ in range(2):
        with pytest.raises(DataError, match="damaged"):
            session.panel(["GOOG"])
        with pytest.raises(NoDataError, match="no bars of MRK"):
            session.bars("MRK")
    assert reads["bars read", "GOOG"] == 1


def test_bars_that_were_written_are_remembered_as_they_are_read(session):
    """A source may deliver other types, another order of columns and another index."""
    written = simulate_bars(30)[::-1].iloc[::-1].astype({"volume": "int64"})
    written = written[["volume", "close", "open", "low", "high", "split", "dividend"]]
    written.index = written.index.astype("datetime64[s]").rename("Date")
    meta = BarsMeta.of(
        written,
        ticker="NEW",
        source={"name": "csv"},
        calendar="XNYS",
        fetched_at=datetime(2017, 1, 1, tzinfo=UTC),
    )
    session.workspace.bars.write(written, meta)
    stored, stated = session.disk.bars.read("NEW")
    pd.testing.assert_frame_equal(session.bars("NEW")[0], stored, check_exact=True)
    assert session.bars("NEW")[1] == stated


def test_bars_that_were_fetched_replace_those_that_were_read(session, tmp_path, reads):
    before = session.bars("SIM")[0]
    write_csv(simulate_bars(562, last="2008-10-14", seed=1), tmp_path / "SIM.csv")
    source = CsvSource(file=str(tmp_path / "SIM.csv"))
    (result,) = fetch(session, ["SIM"], source=source, replace_others=True)
    assert result.status == "replaced"
    after, meta = session.bars("SIM")
    assert len(after) == len(before) + 2 == meta.rows
    stored, stated = session.disk.bars.read("SIM")
    pd.testing.assert_frame_equal(after, stored, check_exact=True)
    assert meta == stated
