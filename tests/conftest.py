"""Fixtures for every room, and the guard that keeps tests off the network."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import curl_cffi  # noqa: F401  (after TensorFlow its TLS finds TensorFlow's symbols, and fails)
import pytest
from command import LAST, NOW, SMALL, TINY, Lstm, Result, kept_clock, spawn
from filelock import FileLock
from simulate import simulate_bars
from yahoo_server import YahooServer

os.environ.pop("COLUMNS", None)  # that workers of pytest have: it is the width of no terminal

MadeOnce = Callable[[str, Callable[[Path], Any]], tuple[Path, Any]]

_reached: list[str] = []


def _watch(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if host not in ("127.0.0.1", "::1", "localhost"):
            _reached.append(host)
            raise PermissionError(f"a test tried to reach {host}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, so that no worker waits for it at the end."""
    items.sort(key=lambda item: "evenings" not in item.keywords)


@pytest.fixture(autouse=True)
def _marked_if_slow_to_load(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that is the first to load TensorFlow and has no mark that says so."""
    loaded = "tensorflow" in sys.modules
    yield
    marked = {"tensorflow", "process"} & set(request.node.keywords)
    assert loaded or marked or "tensorflow" not in sys.modules, "mark this test `tensorflow`"


@pytest.fixture(scope="session", autouse=True)
def _audit() -> None:
    sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that reaches beyond loopback, even if the code hid the error.

    curl does not use Python's sockets: its way out is a proxy that nobody serves.
    """
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    _reached.clear()
    yield
    assert not _reached, f"this test reached beyond loopback: {_reached}"


@pytest.fixture(autouse=True)
def _clock_put_back() -> Iterator[None]:
    """Give the clock back as it was: a Yahoo or a replay moves it for the whole process."""
    with kept_clock():
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Give scikit-learn one thread: those of all test workers would wait for each other."""
    import sklearn.utils  # noqa: F401  (loads the library that the limit is set in)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.fixture
def market_data() -> Path:
    """Return the folder of real bars; the test needs the mark `market`."""
    folder = os.environ.get("LSTM_MARKET_DATA")
    if not folder:
        pytest.skip("LSTM_MARKET_DATA is not set")
    return Path(folder)


@pytest.fixture
def yahoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooServer]:
    """Return a Yahoo on loopback that yfinance in this process talks to."""
    with warnings.catch_warnings():  # yfinance sets a filter of its own when imported
        import yfinance
        from yfinance.data import SingletonMeta, YfData

    SingletonMeta._instances.clear()
    YfData.cache_get.cache_clear()
    monkeypatch.setattr(yfinance.base, "_tz_info_fetch_ctr", 0)
    with YahooServer(tmp_path) as server:
        for name, value in server.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield server
        assert not server.leaks, f"hosts that are not Yahoo's: {server.leaks}"
    for session in SingletonMeta._instances.values():
        session._session.close()
    SingletonMeta._instances.clear()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return a function that mounts a disk of some bytes; skip where none may be mounted."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        if os.geteuid():
            pytest.skip("only root may mount a small disk")
        if shutil.which("mount") is None:
            pytest.skip("no small disk can be mounted: there is no command `mount`")
        line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no small disk may be mounted: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        # Lazily: yfinance keeps its cache open.
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def lstm(capsys: pytest.CaptureFixture[str]) -> Lstm:
    """Return a function that runs one command line in this process."""
    return Lstm(capsys)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder that all workers of this test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder if worker_id == "master" else folder.parent


@pytest.fixture(scope="session")
def made_once(shared_folder: Path) -> MadeOnce:
    """Return a function that makes a folder for all workers; none of them may change it.

    `made_once(name, make)` calls `make(folder)` in the first worker that asks, and returns
    the folder and what `make` returned, which JSON must be able to hold.
    """

    def once(name: str, make: Callable[[Path], Any]) -> tuple[Path, Any]:
        folder, answer = shared_folder / name, shared_folder / f"{name}.json"
        with FileLock(shared_folder / f"{name}.lock"):
            if not answer.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                answer.write_text(json.dumps(make(folder)))
        return folder, json.loads(answer.read_text())

    return once


@pytest.fixture(scope="session")
def first_run(made_once: MadeOnce) -> dict[str, Result]:
    """Fetch two tickers, train and predict with real processes; return their answers.

    GOOG is the sample from 2006 on; SIM is simulated, and comes from a file.
    """
    folder, answers = made_once("first-run", _first_run)
    found = {name: Result(**answer) for name, answer in answers.items()}
    return {**found, "workspace": Result(0, str(folder / "data"), "")}


def _first_run(folder: Path) -> dict[str, dict[str, Any]]:
    bars = simulate_bars(560, last="2008-10-14").rename_axis("Date")
    bars[["open", "high", "low", "close", "volume"]].to_csv(folder / "SIM.csv")
    data = folder / "data"
    lines = {
        "fetch": ["fetch", "GOOG", "--source", "sample", "--start", "2006-07-01"],
        "fetch SIM": ["fetch", "SIM", "--source", "csv", "--file", "SIM.csv"],
        "train": ["train", *TINY],
        "predict": ["predict", "GOOG"],
    }
    answers = {name: spawn(*words, workspace=data) for name, words in lines.items()}
    for name, answer in answers.items():
        assert answer.code == 0, f"{name}: {answer.err}"
    return {name: vars(answer) for name, answer in answers.items()}


@pytest.fixture
def workspace(
    first_run: dict[str, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a copy of the first run's workspace, which commands find by themselves."""
    data = tmp_path / "data"
    shutil.copytree(first_run["workspace"].out, data)
    return _enter(data, monkeypatch)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace that does not exist yet, which commands find by themselves."""
    return _enter(tmp_path / "data", monkeypatch)


def _enter(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(data.parent)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setenv("LSTM_NOW", NOW)
    return data


@pytest.fixture(scope="session")
def proven(made_once) -> tuple[Path, Result]:
    """Return a workspace with two tickers and a backtest of them, and its answer."""
    folder, answer = made_once("proven", _proven)
    return folder / "data", Result(**answer)


def _proven(folder: Path) -> dict[str, Any]:
    data = folder / "data"
    for seed, name in enumerate(("AAA", "BBB")):
        bars = simulate_bars(1100, seed=seed, last=LAST).rename_axis("Date")
        bars[["open", "high", "low", "close", "volume"]].to_csv(folder / f"{name}.csv")
        fetched = spawn("fetch", name, "--source", "csv", "--file", f"{name}.csv", workspace=data)
        assert fetched.code == 0, fetched.err
    shutil.copytree(data, folder / "fresh")
    answer = spawn("backtest", *SMALL, "--json", workspace=data)
    assert answer.code == 0, answer.err
    return vars(answer)


@pytest.fixture
def fresh(proven, tmp_path, monkeypatch) -> Path:
    """Return a copy of the bars alone, which commands find by themselves."""
    shutil.copytree(proven[0].parent / "fresh", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def trained(made_once: MadeOnce) -> Path:
    """Return a folder with the bars of two tickers up to TODAY and a run for each."""
    import evenings
    import year

    def make(folder: Path) -> None:
        with year.replaying(folder, evenings.listings()) as replay:
            replay.prepare(evenings.TODAY)

    return made_once("trained", make)[0]


@pytest.fixture
def data(
    trained: Path, yahoo: YahooServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a copy of that workspace on the evening of TODAY, with Yahoo at hand."""
    import evenings
    import year

    folder = tmp_path / "data"
    shutil.copytree(trained / "data", folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    yahoo.listings.update(evenings.listings())
    yahoo.move_clock(year.evening_of(evenings.TODAY))
    return folder


@pytest.fixture(scope="session")
def told_once(made_once: MadeOnce, trained: Path) -> Path:
    """Return that workspace after `lstm daily` on the evening of TODAY."""
    import evenings
    import year

    def make(folder: Path) -> None:
        with year.replaying(folder, evenings.listings()) as replay:
            shutil.copytree(trained / "data", replay.data)
            replay.yahoo.now = year.evening_of(evenings.TODAY)
            replay.lstm("daily", "-q")

    return made_once("told", make)[0] / "data"


@pytest.fixture
def first_evening(data: Path, told_once: Path) -> None:
    """Leave `data` as the first `lstm daily` does; what it asked of Yahoo is not counted."""
    shutil.copytree(told_once, data, dirs_exist_ok=True)


@pytest.fixture
def no_room_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what fills the disk for files whose names match a pattern."""
    replace = Path.replace

    def fill(pattern: str) -> None:
        def full(self: Path, target: Path) -> Path:
            if Path(target).match(pattern):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", full)

    return fill
