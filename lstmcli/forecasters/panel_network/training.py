"""Training of the members of a panel network: one a core, each batch by batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd

from lstmcli.forecasters.panel_network.batches import Batches
from lstmcli.forecasters.panel_network.member import Member
from lstmcli.forecasters.panel_network.network import Weights
from lstmcli.forecasters.panel_network.settings import EPOCH, PanelNetworkConfig
from lstmcli.forecasters.panel_network.table import Scales, TrainingTable
from lstmcli.forecasters.training import HISTORY_COLUMNS, Epoch, Watch
from lstmcli.models.kernel import release
from lstmcli.models.runtime import Threads, give_back_freed, load_tensorflow, usable_cores

T = TypeVar("T", covariant=True)

WARM_UP = 50
"""Batches over which the learning rate grows from 0."""

EVALUATED = 8
"""Batches whose mean loss is that of validation, and of training before the first step."""


class Stopped(Exception):
    """A training was told to stop."""


class Training(Protocol[T]):
    """One training among others."""

    def __call__(self, *, watch: Watch, stop: threading.Event, together: int) -> T: ...


def side_by_side(trainings: Sequence[Training[T]], watch: Watch, cores: int | None) -> list[T]:
    """Return what some trainings return, each on one core; None: on all cores.

    So a network has the same digits on any number of cores.

    Raises:
        Exception: what a training or the watch raises; the other trainings are stopped.
    """
    cores = cores or usable_cores()
    load_tensorflow(Threads.choose(cores, shards=1))
    together, stop = min(cores, len(trainings)), threading.Event()
    shared = _Shared(watch)
    with ThreadPoolExecutor(max(together, 1)) as pool:
        of = [
            pool.submit(partial(training, watch=shared, stop=stop, together=together))
            for training in trainings
        ]
        try:
            for done in as_completed(of):
                done.result()
        except BaseException:
            stop.set()
            for each in of:
                each.cancel()
            raise
        return [each.result() for each in of]


class _Shared:
    """A watch of several trainings, which call it in turn."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._lock = watch, threading.Lock()

    def on_epoch(self, epoch: Epoch) -> None:
        with self._lock:
            self._watch.on_epoch(epoch)

    def load(self, key: str) -> Mapping[str, np.ndarray] | None:
        with self._lock:
            return self._watch.load(key)

    def save(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        with self._lock:
            self._watch.save(key, arrays)


def rate_of(batch: int, config: PanelNetworkConfig) -> float:
    """Return the learning rate of a batch, 0 … batches − 1: it warms up, then fades to 0."""
    warm = min(1.0, (batch + 1) / WARM_UP)
    fading = 0.5 * (1 + np.cos(np.pi * batch / config.batches))
    return float(config.learning_rate * warm * fading + 1e-6)


def train_member(
    config: PanelNetworkConfig,
    table: TrainingTable,
    learnt: np.ndarray,
    *,
    held: np.ndarray | None,
    seed: int,
    fit: str,
    member: int,
    members: int,
    watch: Watch,
    stop: threading.Event | None = None,
    together: int = 1,
    scales: Scales | None = None,
    start: Weights | None = None,
    dates: bool = True,
) -> tuple[Weights, pd.DataFrame]:
    """Return the weights of one trained network, and its history.

    An epoch is `EPOCH` batches. There is no validation block and no early stopping: the
    learning rate fades to zero over a number of batches that is settled before.

    Args:
        learnt: (S,) which sessions of the table it may learn from.
        held: (S,) those whose loss is shown as that of validation; it decides nothing.
        stop: when it is set, the training ends after a batch.
        together: members that are trained at the same time.
        scales: of the loss; None: of the rows that are learnt from.
        start, dates: see `Member`.

    Raises:
        Stopped: by `stop`.
    """
    batches = Batches(table, config, learnt, seed=seed, dates=dates)
    validation = None if held is None else Batches(table, config, held, seed=seed, dates=dates)
    scales = scales or table.scales(learnt, dates=dates)
    trained = Member(config, scales, seed=seed, start=start, dates=dates)
    key, epochs = f"{fit}-{member}", config.epochs

    def evaluate(some: Batches | None) -> float:
        if not some:
            return np.nan
        return float(np.mean([trained.evaluate(some[number]) for number in range(EVALUATED)]))

    rows: list[tuple[float, float, float, float]] = []
    saved = watch.load(key)
    if saved is not None:
        trained.restore(saved)
        rows = [tuple(row) for row in saved["rows"].tolist()]
    else:
        started = time.perf_counter()
        rows.append((0, evaluate(batches), evaluate(validation), time.perf_counter() - started))
    while len(rows) <= epochs:
        started, first = time.perf_counter(), (len(rows) - 1) * EPOCH
        numbers = range(first, min(first + EPOCH, config.batches))
        losses = []
        for number, batch in zip(numbers, batches.ahead(numbers), strict=True):
            if stop is not None and stop.is_set():
                raise Stopped
            losses.append(trained.train(batch, rate_of(number, config), number))
        found = float(np.mean(losses)), evaluate(validation)
        rows.append((len(rows), *found, time.perf_counter() - started))
        give_back_freed()
        watch.save(key, trained.arrays() | {"rows": np.array(rows)})
        watch.on_epoch(
            Epoch(
                fit=fit,
                member=member,
                members=members,
                epoch=len(rows) - 1,
                epochs=epochs,
                loss=rows[-1][1],
                validation_loss=rows[-1][2],
                best_epoch=len(rows) - 1,
                seconds=rows[-1][3],
                together=together,
            )
        )
    release()
    history = pd.DataFrame(rows, columns=["epoch", "loss", "validation_loss", "seconds"])
    history = history.astype({"epoch": int}).assign(fit=fit, member=member)
    return trained.weights(), history[list(HISTORY_COLUMNS)]
