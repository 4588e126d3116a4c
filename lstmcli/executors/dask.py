"""A dask cluster: one that runs already, or processes that are started here.

Everything travels: a call with its task to a worker, its panel once to each worker that needs
it, the result home. No worker needs the workspace, a disk in common or a clock. What travels is
pickled, so a scheduler must trust whoever reaches it.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lstmcli.errors import ConfigError, SourceError
from lstmcli.executors.tasks import TRIES, TaskExecutor, panel_held
from lstmcli.executors.versions import versions_to_compare
from lstmcli.executors.workers import Workers
from lstmcli.panel import Panel

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

TIMEOUT = 10.0
"""Seconds to wait for a scheduler and its first worker; `lstm.timeout` in dask's config, or
DASK_LSTM__TIMEOUT, says otherwise."""

_SETTINGS = {
    # Of a scheduler that is started here.
    "distributed.scheduler.allowed-failures": TRIES - 1,
    "distributed.worker.multiprocessing-method": "spawn",  # TensorFlow does not survive a fork
    # A panel is meant to travel as a whole.
    "distributed.admin.large-graph-warning-threshold": "1TB",
}

EXPOSED = (
    "has no encryption: whoever reaches this scheduler can run any code on its workers and here. "
    "tls:// asks for a certificate"
)

SAME = "install the same versions everywhere, such as from one requirements.lock"


class DaskExecutor(TaskExecutor):
    """Runs calls on the workers of a dask scheduler, one at a time on each.

    The scheduler gives a call whose worker is killed to another one, as often as its setting
    `allowed-failures` says. A cluster that is started here tries each call `TRIES` times.

    Attributes:
        sent, received: bytes of panels and calls, and of results, that have passed this process.
    """

    def __init__(self, max_workers: int, *, panels: Mapping[str, Panel], workers: Workers) -> None:
        """Connect to a scheduler, or start one with workers on this machine.

        Args:
            max_workers: processes to start, where no scheduler is named.

        Raises:
            ConfigError: dask is not installed; workers have other versions or several threads.
            SourceError: the scheduler does not answer in time, or has no worker.
        """
        dask, distributed = _load()
        self.worker_errors = (distributed.KilledWorker,)
        self.max_workers = max_workers
        self.sent = self.received = 0
        self._address = workers.scheduler
        with ExitStack() as opened:
            opened.enter_context(dask.config.set(_SETTINGS))
            if self._address is None:
                self._client = _start_client(opened, max_workers)
            else:
                if workers.exposed:
                    log.warning("%s %s", self._address, EXPOSED)
                self._client = _connect_client(opened, self._address)
            self._calls = self._client.get_executor(pure=False)
            self._versions = versions_to_compare()
            self._panels = {sha: self._send(sha, panel) for sha, panel in panels.items()}
            self._count_workers()
            self._opened = opened.pop_all()

    def _send(self, sha: str, panel: Panel) -> Any:
        """Return the panel as a value of the cluster, which outlives a worker that has it.

        As a call and not as scattered data: what only a killed worker had is made again. The
        scheduler holds the bytes; workers copy the panel from each other.
        """
        content = pickle.dumps(panel, protocol=pickle.HIGHEST_PROTOCOL)
        self.sent += len(content)
        return self._client.submit(pickle.loads, content, key=f"panel-{sha}")

    def _count_workers(self) -> None:
        # Workers may join and leave.
        if self._address is not None:
            self.max_workers = max(1, len(self._client.nthreads()))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        self._count_workers()
        shas = {getattr(argument, "panel_sha", None) for argument in args} & {*self._panels}
        sha = next(iter(shas), None)
        content = pickle.dumps((fn, args, kwargs))
        self.sent += len(content)
        panel = None if sha is None else self._panels[sha]
        ran = self._calls.submit(_run, content, self._versions, sha, panel)
        future: Future[R] = Future()
        ran.add_done_callback(lambda done: self._hand_over(done, future))
        return future

    def _hand_over(self, done: Future[bytes], future: Future[Any]) -> None:
        try:
            if done.cancelled():
                raise SourceError(
                    f"The scheduler {self._address or 'on this machine'} has gone away.",
                    hint="start it again; the same command goes on from what is finished",
                )
            content = done.result()
            self.received += len(content)
            future.set_result(pickle.loads(content))
        except BaseException as error:
            future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the scheduler, or end the one that was started here, after the calls or at once."""
        self._calls.shutdown(wait=wait and not cancel_futures)
        self._panels.clear()
        self._opened.close()


def _load() -> tuple[Any, Any]:
    """Import dask and distributed, which then say nothing of its own in this process.

    Raises:
        ConfigError: they are not installed.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ConfigError(
            "Expected dask and distributed for --executor dask. Received: neither.",
            hint="pip install 'lstmcli[dask]'",
        ) from error
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return dask, distributed


def _start_client(opened: ExitStack, count: int) -> Client:
    """Return a client of a new cluster of `count` processes of this machine."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        memory_limit=None,  # the system ends what takes too much, as it does with any process
        silence_logs=logging.CRITICAL,
    )
    return opened.enter_context(Client(opened.enter_context(cluster)))


def _connect_client(opened: ExitStack, address: str) -> Client:
    """Return a client of a scheduler that has a worker, checked to be like this process.

    Raises:
        ConfigError: workers have other versions or several threads, or tls:// lacks its files.
        SourceError: it does not answer in time, or has no worker.
    """
    import dask
    from distributed import Client

    seconds = float(dask.config.get("lstm.timeout", TIMEOUT))
    longer = f"DASK_LSTM__TIMEOUT={6 * seconds:.0f} waits longer"
    try:
        with ThreadPoolExecutor(1) as pool:  # this thread may run an event loop, as in a notebook
            pool.submit(asyncio.run, _probe(address, seconds)).result()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions, which are refused below
            client = opened.enter_context(Client(address, timeout=seconds))
    except TypeError as error:
        if not address.startswith("tls:"):
            raise
        raise ConfigError(
            f"Expected a certificate for {address}. Received: {error}.",
            hint="set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, and CERT and KEY of "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT",
        ) from error
    except OSError as error:
        raise SourceError(
            f"The scheduler {address} does not answer within {seconds:g} s.",
            hint=f"dask scheduler starts one and prints its address; {longer}",
        ) from error
    except Exception as error:  # whatever is read from a port that speaks something else
        raise SourceError(
            f"Expected a dask scheduler at {address}. Received: {error}.",
            hint="dask scheduler prints its address, which is not that of its dashboard",
        ) from error
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        raise SourceError(
            f"The scheduler {address} has no worker after {seconds:g} s.",
            hint=f"dask worker {address} --nworkers -1 --nthreads 1 starts some; {longer}",
        ) from error
    _check_same(client)
    return client


async def _probe(address: str, seconds: float) -> None:
    """Connect once: `Client` itself waits for ever for a port that says nothing.

    Raises:
        OSError: nobody answers in time.
    """
    from distributed import Security
    from distributed.comm.core import connect

    options = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=seconds, **options), seconds)
    comm.abort()


def _check_same(client: Client) -> None:
    """Check that the scheduler and all workers have the versions of this process.

    Raises:
        ConfigError: some have not, or workers have several threads.
    """
    many = [address for address, threads in client.nthreads().items() if threads > 1]
    if many:
        raise _too_many_threads(many[0])
    answers: dict[str, Any] = client.run(versions_to_compare, on_error="return")
    try:
        answers["the scheduler"] = client.run_on_scheduler(versions_to_compare)
    except Exception as error:  # whatever it raises there, such as for want of this package
        answers["the scheduler"] = error
    here = versions_to_compare()
    for place, there in answers.items():
        if isinstance(there, BaseException):
            raise ConfigError(f"Expected lstm on {place}. Received: {there}.", hint=SAME)
        _check_versions(here, there, place)


def _check_versions(here: Mapping[str, str], there: Mapping[str, str], place: str) -> None:
    """Check that a place has the versions of the client.

    Raises:
        ConfigError: it has others.
    """
    names = [name for name in here if there.get(name) != here[name]]
    if names:
        raise ConfigError(
            f"Expected {', '.join(f'{name} {here[name]}' for name in names)} on {place}, as here. "
            f"Received: {', '.join(f'{name} {there.get(name)}' for name in names)}.",
            hint=SAME,
        )


def _too_many_threads(place: str) -> ConfigError:
    return ConfigError(
        f"Expected dask workers with one thread each. Received: several on {place}. Fits in one "
        "process would share its random numbers.",
        hint="dask worker ADDRESS --nworkers -1 --nthreads 1",
    )


@cache
def _own_versions() -> dict[str, str]:
    return versions_to_compare()


def _run(content: bytes, versions: Mapping[str, str], sha: str | None, panel: Any) -> bytes:
    """Run a call in this worker; see `DaskExecutor.submit`. It may have joined since the check.

    Raises:
        ConfigError: this worker has other versions than the client, or several threads.
    """
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads > 1:
        raise _too_many_threads(worker.address)
    _check_versions(versions, _own_versions(), worker.address)
    with panel_held(sha, panel):
        fn, args, kwargs = pickle.loads(content)
        # Pickled here, so that a result that cannot be is an error of its call.
        return pickle.dumps(fn(*args, **kwargs), protocol=pickle.HIGHEST_PROTOCOL)
