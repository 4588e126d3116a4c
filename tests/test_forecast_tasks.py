"""Forecasts of a universe as tasks: the digits do not depend on where they run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Lstm
from dask_cluster import scheduler, worker
from test_pretrained_forecasts import place  # noqa: F401  a workspace beside a Yahoo
from yahoo_server import Listing, YahooServer, traded

from lstmcli.pipeline import progress, run_forecasts
from lstmcli.store import Workspace
from lstmcli.store.kept_files import KeptFiles

pytest.importorskip("distributed")

NAMES = [f"T{number}" for number in range(5)]


@pytest.fixture
def universe(place: Path, yahoo: YahooServer, lstm: Lstm, monkeypatch) -> Path:  # noqa: F811
    """Return a workspace with bars of five tickers, two of which make a task."""
    yahoo.listings |= {
        name: Listing(traded("2021-06-01", 740, seed=20 + seed)) for seed, name in enumerate(NAMES)
    }
    assert lstm("fetch", *NAMES, "--bars-only").code == 0
    monkeypatch.setattr(run_forecasts, "AT_ONCE", 2)
    return place


def steps_of(answer) -> dict[str, list]:
    assert answer.code == 0, answer.err
    return {each["ticker"]: each["steps"] for each in json.loads(answer.out)["forecasts"]}


def kept(place: Path) -> dict[str, bytes]:  # noqa: F811
    """Return what calibration and baselines have kept, and forget it."""
    state = place / "state"
    found = {str(p.relative_to(state)): p.read_bytes() for p in state.rglob("*.bin")}
    for name in NAMES:
        Workspace(place).calibrations.forget(name)
        Workspace(place).fits.forget(name)
    return found


@pytest.mark.process
def test_forecasts_are_the_same_from_every_executor(universe, lstm, monkeypatch):
    words = ("predict", *NAMES, "--offline", "--json")
    with monkeypatch.context() as hurried:
        hurried.setattr(progress, "EVERY", 0.0)
        answer = lstm(*words, "--executor", "serial")
    assert "forecast 2 of 5 tickers, about 1 minute left\n" in answer.err
    expected, learnt = steps_of(answer), kept(universe)
    assert list(expected) == NAMES
    assert len(learnt) == 2 * len(NAMES)
    for where in (("--workers", "2"), ("--executor", "dask", "--workers", "1")):
        assert steps_of(lstm(*words, *where)) == expected
        assert kept(universe) == learnt
    monkeypatch.setattr(run_forecasts, "AT_ONCE", 50)
    assert steps_of(lstm(*words)) == expected
    assert kept(universe) == learnt


@pytest.mark.process
def test_a_scheduler_is_reached_by_its_address(universe, lstm, tmp_path, monkeypatch):
    words = ("predict", *NAMES, "--offline", "--json")
    expected = steps_of(lstm(*words, "--executor", "serial"))
    with scheduler(tmp_path) as address, worker(address, tmp_path):
        where = ("--executor", "dask", "--scheduler", address)
        assert steps_of(lstm(*words, *where)) == expected
    monkeypatch.setenv("DASK_LSTM__TIMEOUT", "1")
    answer = lstm(*words, *where)
    assert answer.code == 4
    assert "scheduler" in answer.err


@pytest.mark.process
def test_a_task_that_fails_fails_its_tickers_alone(universe, lstm, monkeypatch):
    run = run_forecasts.ForecastTask.run

    def failing(self, panel=None):
        if "T1" in self.panel:
            raise MemoryError("no room")
        return run(self, panel)

    monkeypatch.setattr(run_forecasts.ForecastTask, "run", failing)
    answer = lstm("predict", *NAMES, "--offline", "--json", "--executor", "serial")
    assert answer.code == 1
    assert "T0 and 1 more: MemoryError: no room" in answer.err
    assert len(json.loads(answer.out)["forecasts"]) == len(NAMES) - 2


@pytest.mark.process
def test_what_a_task_has_learnt_is_written_once(universe, lstm, monkeypatch):
    written: list[str] = []
    write = KeptFiles.write

    def counted(self, kept):
        written.extend(f"{self.folder.name} {ticker}" for ticker in kept)
        write(self, kept)

    monkeypatch.setattr(KeptFiles, "write", counted)
    steps_of(lstm("predict", *NAMES, "--offline", "--json", "--executor", "serial"))
    (run,) = Workspace(universe).calibrations.runs()
    assert sorted(written) == sorted(f"{of} {name}" for of in ("baselines", run) for name in NAMES)


@pytest.mark.process
def test_workers_that_cannot_be_are_refused_before_anything_is_fetched(place, yahoo, lstm):  # noqa: F811
    answer = lstm("predict", "MRK", "--executor", "serial", "--workers", "2")
    assert answer.code == 2
    assert "--executor processes --workers 2" in answer.err
    assert not yahoo.requests
