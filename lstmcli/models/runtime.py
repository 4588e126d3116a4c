"""The one place that imports TensorFlow: quietly, and with threads that suit the machine."""

from __future__ import annotations

import ctypes
import os
import random
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")

_MMAP_THRESHOLD = -3
"""The parameter M_MMAP_THRESHOLD of `mallopt` in glibc."""


@dataclass(frozen=True)
class Threads:
    """How TensorFlow may use the cores; the last digits of a fit depend on it.

    Attributes:
        intra_op: threads inside one operation.
        inter_op: operations at a time.
        shards: parts into which the fused LSTM cuts a batch, one operation each.
    """

    intra_op: int
    inter_op: int
    shards: int

    @classmethod
    def choose(cls, threads: int | None = None, shards: int | None = None) -> Threads:
        """Return one operation per core: the fused LSTM is slower on two threads than on one."""
        threads = threads or usable_cores()
        return cls(intra_op=1, inter_op=threads, shards=shards or threads)


_chosen: Threads | None = None
_seeding = threading.Lock()


def usable_cores() -> int:
    """Return the cores that this process may use, by its affinity and its cgroup's quota."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(cores, _quota(_CGROUP)))


def _quota(folder: Path) -> int:
    """Return the whole cores that a cgroup grants; a large number without a limit."""
    unlimited = 2**16
    try:
        version_2 = folder / "cpu.max"
        if version_2.exists():
            quota, period = version_2.read_text().split()
        else:
            quota = (folder / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu" / "cpu.cfs_period_us").read_text()
        return unlimited if quota.strip() in {"max", "-1"} else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return unlimited


def threads() -> Threads:
    """Return the threads in force, or those that would be chosen."""
    return _chosen or Threads.choose()


@contextmanager
def stderr_held() -> Iterator[None]:
    """Keep what C++ libraries write to file descriptor 2; show it if the body fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # not Ctrl-C, which is no fault of the library
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def arrays_given_back() -> Iterator[None]:
    """Give freed arrays back to the operating system at once, where the C library is glibc.

    Otherwise it keeps those of up to 32 MB for later ones, which seldom fit their places: after
    a few large tables that is hundreds of megabytes. Those below 1 MB are given back at the
    end. Other C libraries have no such setting.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, 2**20)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, 2**25)
        libc.malloc_trim(0)


def give_back_freed() -> None:
    """Give what glibc keeps of freed arrays back to the operating system; it takes milliseconds.

    Each thread has a heap of its own, which grows with what other threads free.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if libc is not None and hasattr(libc, "mallopt") else None


def load_tensorflow(wanted: Threads | None = None) -> Threads:
    """Import TensorFlow and Keras quietly; show what was held back if that fails.

    TensorFlow 2.21 writes lines of absl and oneDNN to file descriptor 2 whatever
    TF_CPP_MIN_LOG_LEVEL says, so the descriptor itself is turned away meanwhile.
    Threads are settled by the first call: the runtime cannot change them. Shards, on which
    digits depend, are those of the last call: a worker runs tasks of several configs.

    Returns:
        The threads in force, which are not `wanted` if an earlier call settled them.
    """
    global _chosen
    if _chosen is not None:
        if wanted is not None:
            _chosen = replace(_chosen, shards=wanted.shards)
        return _chosen
    wanted = wanted or Threads.choose()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with stderr_held():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(wanted.intra_op)
        tf.config.threading.set_inter_op_parallelism_threads(wanted.inter_op)
        # It warns of retracing when a fifth network is built; each is a graph of its own.
        tf.get_logger().setLevel("ERROR")
        # The first operation makes the runtime print once more.
        tf.constant(0.0)
        import keras  # noqa: F401
    _chosen = wanted
    return wanted


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed what Keras draws from, for the building of a network in this thread.

    Keras takes the seeds of layers from Python's `random`, which all threads share. Those of a
    dask worker draw from it at any time, so this thread has a generator of its own meanwhile.
    """
    import keras

    with _seeding:  # one network is built at a time
        keras.utils.set_random_seed(seed)
        here, own, everyone = threading.get_ident(), random.Random(seed), random.randint

        def randint(a: int, b: int) -> int:
            return (own.randint if threading.get_ident() == here else everyone)(a, b)

        random.randint = randint
        try:
            yield
        finally:
            random.randint = everyone
