"""Executors: every task has its answer, and no worker outlives its parent."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lstmcli.errors import DataError, LstmError, NoDataError
from lstmcli.executors import (
    EXECUTORS,
    Done,
    Failure,
    Workers,
    open_executor,
    run_tasks,
    task_error,
)
from lstmcli.executors.processes import ProcessExecutor
from lstmcli.executors.serial import SerialExecutor
from lstmcli.executors.tasks import TaskExecutor

pytestmark = pytest.mark.process

SEVERAL = ("processes", "dask")
"""The executors that run several tasks at a time."""

changed_by_the_parent = False


@dataclass(frozen=True)
class Call:
    """A task that calls a function of this module."""

    function: Callable[..., Any]
    argument: Any = None
    panel_sha: str | None = None

    @property
    def key(self) -> str:
        return "-".join(filter(None, (self.function.__name__, str(self.argument), self.panel_sha)))

    def run(self, panel: Any) -> Any:
        return self.function(self.argument) if self.panel_sha is None else panel


class Noted:
    """Stands for a panel, and notes in a file when it reaches a process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __setstate__(self, state: dict) -> None:
        self.__dict__ = state
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")


@pytest.fixture(scope="module", params=EXECUTORS)
def opened(request, tmp_path_factory) -> Iterator[tuple[TaskExecutor, dict[str, Noted]]]:
    """Return each executor in turn, with two workers where it can have two, and its panels."""
    folder = tmp_path_factory.mktemp("panels")
    panels = {name: Noted(folder / name) for name in ("one", "two")}
    workers = Workers(1 if request.param == "serial" else 2, request.param)
    with open_executor(workers, panels=panels, tasks=9) as executor:
        yield executor, panels


@pytest.fixture
def executor(opened) -> TaskExecutor:
    return opened[0]


@pytest.fixture
def panels(opened) -> dict[str, Noted]:
    return opened[1]


def run(executor: TaskExecutor, tasks: list[Call]) -> dict[str, Done | Failure]:
    """Return what became of each task, by key."""
    outcomes = list(run_tasks(executor, tasks))
    assert len(outcomes) == len(tasks)
    return {outcome.key: outcome for outcome in outcomes}


def double(number: int) -> int:
    return 2 * number


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def fail(error: Exception) -> None:
    raise error


def seen(_: None) -> bool:
    return changed_by_the_parent


def blas_threads(_: None) -> set[int]:
    import numpy  # noqa: F401  (loads BLAS)
    from threadpoolctl import threadpool_info

    return {library["num_threads"] for library in threadpool_info()}


def unpicklable(_: None) -> Any:
    return threading.Lock()


def killed(tries: Path, *, survives: int = 4) -> int:
    """Note the try, and kill this process before the last that it may have."""
    with tries.open("a") as file:
        file.write("x")
    count = len(tries.read_text())
    if count < survives:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return count


def killed_twice(tries: Path) -> int:
    return killed(tries, survives=3)


def raise_in_a_worker() -> None:
    raise ValueError("no worker can start")


def test_every_task_has_its_result(executor):
    outcomes = run(executor, [Call(double, number) for number in range(7)])
    assert {key: outcome.value for key, outcome in outcomes.items()} == {
        f"double-{number}": 2 * number for number in range(7)
    }
    assert run(executor, []) == {}
    slow = run(executor, [Call(sleep, 0.2)])["sleep-0.2"]
    assert 0.2 <= slow.seconds < 5


def test_one_worker_runs_here_and_more_are_processes():
    for workers, here in ((1, True), (2, False)):
        with open_executor(Workers(workers), panels={}, tasks=9) as executor:
            (outcome,) = run_tasks(executor, [Call(sleep, 0)])
        assert (outcome.value == os.getpid()) is here


def test_a_result_is_handed_on_before_the_next_task_starts():
    submitted = []
    with open_executor(Workers(1), panels={}, tasks=9) as executor:
        submit = executor.submit
        executor.submit = lambda function, task: submitted.append(task) or submit(function, task)
        outcomes = run_tasks(executor, [Call(double, number) for number in range(3)])
        for count in (1, 2, 3):
            next(outcomes)
            assert len(submitted) == count


def test_a_panel_reaches_each_worker_once_and_travels_with_no_task(executor, panels):
    tasks = [Call(sleep, number, sha) for sha in panels for number in range(4)]
    assert all(b"Noted" not in pickle.dumps(task) for task in tasks)
    outcomes = run(executor, tasks)
    assert [outcomes[task.key].value.path.name for task in tasks] == ["one"] * 4 + ["two"] * 4
    if not isinstance(executor, SerialExecutor):
        for panel in panels.values():
            # The parent reads panels too: here they are also results.
            reached = [pid for pid in panel.path.read_text().split() if int(pid) != os.getpid()]
            assert len(reached) == len(set(reached)) in (1, 2)


def test_a_failing_task_is_described_and_the_others_go_on(executor):
    errors = [NoDataError("too few\nmore of it", hint="fetch"), ValueError("planted"), KeyError()]
    tasks = [Call(fail, error) for error in errors]
    outcomes = run(executor, [tasks[0], Call(double, 1), *tasks[1:], Call(double, 2)])
    assert [outcomes[f"double-{n}"].value for n in (1, 2)] == [2, 4]
    known, bug, empty = (outcomes[task.key] for task in tasks)
    assert isinstance(known, Failure)
    assert (known.line, known.exit_code, known.hint) == ("NoDataError: too few", 3, "fetch")
    assert (bug.line, bug.exit_code) == ("ValueError: planted", 1)
    assert "in fail\n" in bug.details
    assert empty.line == "KeyError: "


def test_failed_tasks_are_reported_together_with_the_highest_code():
    failures = [
        Failure.of("a-01", ValueError("planted")),
        Failure.of("b-02", DataError("damaged", hint="fetch again")),
    ]
    error = task_error(failures, of=9, hint="run it again")
    assert str(error) == (
        "2 of 9 tasks failed:\n  a-01: ValueError: planted\n  b-02: DataError: damaged"
    )
    assert error.exit_code == DataError.exit_code
    assert error.hint == "--debug shows where; run it again"
    assert LstmError.exit_code == 1


def test_tasks_use_one_thread_of_blas_each(executor):
    assert run(executor, [Call(blas_threads)])["blas_threads-None"].value == {1}


def test_processes_are_started_afresh(executor, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "changed_by_the_parent", True)
    here = isinstance(executor, SerialExecutor)
    assert run(executor, [Call(seen)])["seen-None"].value is here


def test_a_result_that_cannot_be_pickled_is_a_failure(executor):
    outcomes = run(executor, [Call(unpicklable), Call(double, 1)])
    assert outcomes["double-1"].value == 2
    found = outcomes["unpicklable-None"]
    here = isinstance(executor, SerialExecutor)
    assert isinstance(found, Done) is here  # what stays in one process is not pickled
    assert here or "TypeError: cannot pickle" in found.line


@pytest.mark.parametrize("name", SEVERAL)
def test_a_task_that_kills_its_worker_thrice_is_named_and_the_others_go_on(name, tmp_path):
    tasks = [Call(sleep, 1), Call(killed, tmp_path / "tries")]
    tasks += [Call(double, number) for number in range(3)]
    with open_executor(Workers(2, name), panels={}, tasks=9) as executor:
        outcomes = {outcome.key.split("-")[0]: outcome for outcome in run_tasks(executor, tasks)}
    assert (tmp_path / "tries").read_text() == "xxx"
    failure = outcomes.pop("killed")
    assert isinstance(failure, Failure)
    assert "its process was killed each time" in failure.line
    assert "--workers" in failure.hint
    assert all(isinstance(outcome, Done) for outcome in outcomes.values())


@pytest.mark.parametrize("name", SEVERAL)
def test_a_task_whose_worker_is_killed_is_tried_again(name, tmp_path):
    tasks = [Call(killed_twice, tmp_path / "tries"), Call(double, 1)]
    with open_executor(Workers(2, name), panels={}, tasks=2) as executor:
        outcomes = list(run_tasks(executor, tasks))
    assert sorted(outcome.value for outcome in outcomes) == [2, 3]


def test_workers_that_cannot_start_are_an_error_and_no_hang():
    executor = ProcessExecutor(2, initializer=raise_in_a_worker, initargs=())
    with executor, pytest.raises(LstmError, match="double-1: no worker process is left"):
        list(run_tasks(executor, [Call(double, 1)]))


def test_ctrl_c_in_a_task_that_runs_here_is_no_failure():
    with (
        open_executor(Workers(1), panels={}, tasks=9) as executor,
        pytest.raises(KeyboardInterrupt),
    ):
        list(run_tasks(executor, [Call(fail, KeyboardInterrupt())]))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie has ended; in a container nobody may ask for its exit code.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def seconds_until_gone(pids: list[int], *, limit: float) -> float:
    started = time.monotonic()
    while any(alive(pid) for pid in pids) and time.monotonic() < started + limit:
        time.sleep(0.05)
    return time.monotonic() - started


def busy(folder: Path) -> None:
    """Note this process, then compute for longer than any test waits."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        pass


def noted(folder: Path) -> list[int]:
    """Return the two busy processes, once both have begun."""
    end = time.monotonic() + 60
    while len(pids := [int(path.name) for path in folder.iterdir()]) < 2:
        assert time.monotonic() < end, "the workers have not begun"
        time.sleep(0.05)
    return pids


def test_an_error_of_the_parent_ends_busy_workers_at_once(tmp_path):
    with (
        pytest.raises(OSError, match="disk full"),
        open_executor(Workers(2), panels={}, tasks=9) as executor,
    ):
        for _ in range(2):
            executor.submit(busy, tmp_path)
        pids = noted(tmp_path)
        started = time.monotonic()
        raise OSError("disk full")
    assert time.monotonic() - started < 2
    assert not any(alive(pid) for pid in pids)


SCRIPT = """
import sys
from pathlib import Path
import test_executors as tests
from lstmcli.executors import Workers, open_executor, run_tasks

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with open_executor(Workers(2, sys.argv[2]), panels={}, tasks=9) as executor:
        list(run_tasks(executor, [tests.Call(tests.busy, folder)] * 2))
"""


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_workers_end_with_their_parent_within_five_seconds(how, name, tmp_path):
    script, folder = tmp_path / "parent.py", tmp_path / "pids"
    script.write_text(SCRIPT)
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, script, folder, name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = noted(folder)
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # as a terminal does: to the workers too
    else:
        parent.kill()
    assert seconds_until_gone(pids, limit=30) < 5
    _, said = parent.communicate(timeout=30)
    assert parent.returncode == -how
    # The parent's own traceback, and none of a worker.
    assert said.count("Traceback") == (how == signal.SIGINT)
