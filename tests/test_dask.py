"""Dask: the same digits from a cluster, and what happens when parts of it fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest
import trustme
from command import SMALL, Lstm, Result, finished, spawn, start, wait_for
from dask_cluster import cluster, scheduler, worker
from test_executors import Call, blas_threads, double, killed, sleep

from lstmcli.errors import ConfigError, SourceError
from lstmcli.executors import Done, Failure, Workers, open_executor, run_tasks

pytest.importorskip("distributed")
pytestmark = pytest.mark.process

BACKTEST = ["backtest", *SMALL[:-2], "--executor", "dask"]
KEPT = ("scores.csv", "verdicts.csv", "forecasts.parquet")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """Return the address of a scheduler with two workers in processes of their own."""
    with cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address


@pytest.fixture
def unused(proven, tmp_path) -> Path:
    """Return a workspace with the bars of two tickers alone."""
    shutil.copytree(proven[0].parent / "fresh", tmp_path / "data")
    return tmp_path / "data"


def check_same(workspace: Path, answer: Result, proven: tuple[Path, Result]) -> None:
    """Check that a backtest has the digits of one in a single process."""
    assert answer.code == 0, answer.err
    for name in KEPT:
        assert (finished(workspace) / name).read_bytes() == (
            finished(proven[0]) / name
        ).read_bytes()


def named(address: str) -> list[str]:
    return [*BACKTEST, "--scheduler", address]


# The same digits


def test_a_cluster_of_this_machine_gives_the_digits_of_one_process(unused, proven):
    # Two workers are asked for below, and in the tests of members.
    check_same(unused, spawn(*BACKTEST, "--workers", "1", workspace=unused), proven)


def test_a_cluster_reached_by_its_address_gives_the_digits_of_one_process(address, unused, proven):
    answer = spawn(*named(address), workspace=unused)
    check_same(unused, answer, proven)
    assert "warning" not in answer.err  # of loopback nobody is warned


def test_python_names_executors_as_the_command_does(fresh):
    from lstmcli import backtest

    with pytest.raises(ConfigError, match="with --executor dask"):
        backtest("smoke", "AAA", scheduler="tcp://127.0.0.1:1")


# What fails


def pids(address: str) -> dict[str, int]:
    """Return the process of each worker, by its address."""
    from distributed import Client

    with Client(address) as client:
        return client.run(os.getpid)


def one_at_work(address: str) -> int:
    """Return the process of a worker once it runs a fold."""
    from distributed import Client

    end = time.monotonic() + 60
    with Client(address) as client:
        while time.monotonic() < end:
            busy = [place for place, tasks in client.processing().items() if tasks]
            if busy:
                return client.run(os.getpid, workers=busy[:1])[busy[0]]
            time.sleep(0.02)
    raise AssertionError("no worker has begun")


def test_a_worker_killed_in_the_middle_changes_nothing(address, unused, proven):
    with start(*named(address), workspace=unused) as process:
        wait_for(process, "to fit")
        os.kill(one_at_work(address), signal.SIGKILL)
        _, said = process.communicate(timeout=300)
    check_same(unused, Result(process.returncode, "", said), proven)
    told = [line for line in said.splitlines() if ", fold " in line and " s (" in line]
    assert len(told) == len(set(line.partition(":")[0] for line in told))


def test_a_killed_client_goes_on_from_what_was_finished(address, unused, proven):
    with start(*named(address), workspace=unused) as process:
        said = wait_for(process, "fold 2: ")
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    again = spawn(*named(address), workspace=unused)
    check_same(unused, again, proven)
    told = [line.partition(":")[0] for line in said.splitlines() if " s (" in line]
    assert told
    assert not [line for line in told if f"{line}: " in again.err]


def test_who_kills_three_workers_of_a_cluster_is_named(address, tmp_path):
    tasks = [Call(killed, tmp_path / "tries"), *(Call(double, number) for number in range(4))]
    with open_executor(Workers(None, "dask", address), panels={}, tasks=5) as executor:
        outcomes = list(run_tasks(executor, tasks))
    assert (tmp_path / "tries").read_text() == "xxx"
    (failure,) = (outcome for outcome in outcomes if isinstance(outcome, Failure))
    assert failure.key.startswith("killed")
    assert failure.exit_code == 1
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 4


def test_a_panel_that_a_killed_worker_had_is_there_again(address):
    with open_executor(Workers(None, "dask", address), panels={"p": {"a": 1}}, tasks=2) as executor:
        before = list(run_tasks(executor, [Call(double, 1, "p")]))
        for pid in pids(address).values():
            os.kill(pid, signal.SIGKILL)
        after = list(run_tasks(executor, [Call(double, 2, "p"), Call(blas_threads)]))
    assert [outcome.value for outcome in (*before, *after)].count({"a": 1}) == 2
    assert {1} in [outcome.value for outcome in after]


def test_a_scheduler_that_ends_is_an_error_and_no_hang(tmp_path):
    with ExitStack() as opened:
        address = opened.enter_context(scheduler(tmp_path))
        opened.enter_context(worker(address, tmp_path))
        asked = open_executor(Workers(None, "dask", address), panels={}, tasks=2)
        executor = opened.enter_context(asked)
        assert [done.value for done in run_tasks(executor, [Call(double, 1)])] == [2]
        pid = json.loads((tmp_path / "scheduler.json").read_text())["pid"]
        threading.Timer(1, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(SourceError, match="has gone away") as caught:
            next(run_tasks(executor, [Call(sleep, 60)]))
    assert caught.value.exit_code == 4


# What is refused


def test_another_version_is_refused_and_both_are_named(tmp_path, unused):
    other = tmp_path / "other" / "keras-1.2.3.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 1.2.3\n")
    changes = {"first": str(other.parent)}
    with scheduler(tmp_path) as address, worker(address, tmp_path, changes=changes):
        answer = spawn(*named(address), workspace=unused)
        assert answer.code == 2
        assert f"Expected keras {version('keras')} on tcp://127.0.0.1:" in answer.err
        assert "as here. Received: keras 1.2.3." in answer.err
    assert not list(unused.glob("backtests/*/raw/*.parquet"))


def test_workers_with_several_threads_are_refused(tmp_path, unused):
    with scheduler(tmp_path) as address, worker(address, tmp_path, options=["--nthreads", "2"]):
        answer = spawn(*named(address), workspace=unused)
    assert answer.code == 2
    assert "Expected dask workers with one thread each." in answer.err
    assert "--nthreads 1" in answer.hint


def test_a_worker_that_joins_later_is_checked_by_its_first_task(tmp_path):
    with ExitStack() as opened:
        address = opened.enter_context(scheduler(tmp_path))
        opened.enter_context(worker(address, tmp_path))
        asked = open_executor(Workers(None, "dask", address), panels={}, tasks=9)
        executor = opened.enter_context(asked)
        late = ["--nthreads", "2"]
        opened.enter_context(worker(address, tmp_path, name="late", options=late))
        end = time.monotonic() + 60
        while len(pids(address)) < 2:
            assert time.monotonic() < end
        with pytest.raises(ConfigError, match="one thread each"):
            list(run_tasks(executor, [Call(sleep, 0.3 + n / 10) for n in range(6)]))


def test_no_answer_in_time_exits_with_4(unused):
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never answers
        port = silent.getsockname()[1]
        changes = {"DASK_LSTM__TIMEOUT": "2"}
        line = named(f"tcp://127.0.0.1:{port}")
        answer = spawn(*line, workspace=unused, changes=changes)
    assert answer.code == 4
    assert f"The scheduler tcp://127.0.0.1:{port} does not answer within 2 s." in answer.err
    assert "DASK_LSTM__TIMEOUT=12" in answer.hint
    assert time.monotonic() - started < 30
    nobody = spawn(*line, workspace=unused, changes=changes)
    assert nobody.code == 4


def test_a_scheduler_without_workers_exits_with_4(tmp_path, unused):
    with scheduler(tmp_path) as address:
        answer = spawn(*named(address), workspace=unused, changes={"DASK_LSTM__TIMEOUT": "2"})
    assert answer.code == 4
    assert "has no worker after 2 s." in answer.err
    assert f"dask worker {address} --nworkers -1 --nthreads 1" in answer.hint


def test_without_dask_the_extra_is_named(lstm: Lstm, fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = lstm(*BACKTEST)
    assert answer.code == 2
    assert answer.hint == "pip install 'lstmcli[dask]'"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--scheduler tcp://127.0.0.1:8786", "Expected --scheduler with --executor dask."),
        ("--executor serial --scheduler tls://a:1", "with --executor dask"),
        ("--executor serial --workers 4", "one task after the other"),
        ("--executor dask --workers 2 --scheduler tcp://a:1", "the scheduler has its own"),
        ("--executor dask --scheduler 127.0.0.1:8786", "tcp://HOST:PORT"),
        ("--executor dask --scheduler http://a:8787", "tcp://HOST:PORT"),
        ("--executor ray", "ray"),
    ],
)
@pytest.mark.parametrize("command", ["backtest", "audit"])
def test_options_that_do_not_go_together_are_refused(lstm: Lstm, fresh, command, options, words):
    answer = lstm(command, "AAA", *options.split())
    assert answer.code == 2
    assert words in answer.err
    assert answer.out == ""


def test_what_fits_nothing_takes_no_executor(lstm: Lstm, fresh):
    answer = lstm("backtest", "AAA", "--dry-run", "--executor", "dask")
    assert answer.code == 2
    assert "Expected one of --dry-run" in answer.err
    shown = lstm("backtest", "--list", "--executor", "dask")
    assert shown.code == 2
    assert "Expected --list without --executor" in shown.err


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("tcp://127.0.0.1:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
        ("tls://10.0.0.5:8786", False),
        ("tcp://10.0.0.5:8786", True),
        ("tcp://localhost.example.com:8786", True),
        ("tcp://127.0.0.1.example.com:8786", True),
    ],
)
def test_an_address_that_others_reach_without_a_certificate_is_exposed(address, exposed):
    assert Workers(None, "dask", address).exposed is exposed


def test_of_an_exposed_scheduler_the_user_is_warned(tmp_path, unused):
    # Every address of loopback answers; this one is written so that it does not look like it.
    name = socket.gethostname()
    try:
        local = socket.gethostbyname(name).startswith("127.") and name != "localhost"
    except OSError:
        local = False
    address = f"tcp://{name if local else '0.0.0.0'}:1"
    answer = spawn(*named(address), workspace=unused, changes={"DASK_LSTM__TIMEOUT": "1"})
    assert answer.code == 4
    assert f"warning: {address} has no encryption" in answer.err
    assert "can run any code" in answer.err


def test_tls_asks_for_a_certificate_and_takes_it(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "all.pem"))
    own = {"distributed.comm.tls.ca-file": str(tmp_path / "ca.pem")}
    own["distributed.comm.tls.client.cert"] = str(tmp_path / "all.pem")
    config = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(tmp_path / "ca.pem")}
    for role in ("SCHEDULER", "WORKER"):
        config[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(tmp_path / "all.pem")
    with (
        scheduler(tmp_path, protocol="tls", changes=config) as address,
        worker(address, tmp_path, changes=config),
    ):
        assert address.startswith("tls://")
        named = Workers(None, "dask", address)
        with pytest.raises(ConfigError, match="a certificate for tls://") as caught:
            open_executor(named, panels={}, tasks=1)
        assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in caught.value.hint
        import dask

        with (
            dask.config.set(own),
            open_executor(named, panels={}, tasks=1) as executor,
        ):
            assert [done.value for done in run_tasks(executor, [Call(double, 1)])] == [2]
