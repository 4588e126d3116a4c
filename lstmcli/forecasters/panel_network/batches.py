"""Random batches of the table that the panel network is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lstmcli.forecasters.panel_network.modes import INPUTS, PLAIN
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.panel_network.table import Batch, TrainingTable
from lstmcli.forecasters.volatility.announcements import AHEAD, SOON

EVERY = 16
"""Sessions from one possible start of a span to the next."""

LEAST_VALID = 0.8
"""Share of a span that a ticker must have to be in a batch."""


class Batches:
    """Random batches of a table: batch n is the same whenever it is asked for."""

    def __init__(
        self,
        table: TrainingTable,
        config: PanelNetworkConfig,
        learnt: np.ndarray,
        *,
        seed: int,
        dates: bool = True,
    ) -> None:
        self._dates = dates
        self._table, self._config, self._learnt, self._seed = table, config, learnt, seed
        # Tickers and sessions, and the histories of a batch, the same for all of an axis.
        self._spans: list[tuple[np.ndarray, np.ndarray, int]] = []
        for axis in table.axes:
            span = min(config.span, len(axis.sessions))
            starts = np.arange(0, len(axis.sessions) - span + 1, EVERY)
            present = table.share_known(axis, starts, span) > LEAST_VALID  # (N', C)
            histories = min(config.tickers, int(present.sum(axis=0).max(initial=0)))
            for column, start in enumerate(starts):
                sessions = axis.sessions[start : start + span]
                # A span of which no target may be learnt from teaches nothing.
                if learnt[sessions[config.burn_in :]].any() and present[:, column].any():
                    self._spans.append((axis.tickers[present[:, column]], sessions, histories))

    def __bool__(self) -> bool:
        return len(self._spans) > 0

    def __len__(self) -> int:
        return len(self._spans)

    def ahead(self, numbers: Sequence[int]) -> Iterator[Batch]:
        """Yield some batches; each is gathered while the one before is trained on."""
        with ThreadPoolExecutor(1) as pool:
            coming = [pool.submit(self.__getitem__, number) for number in numbers[:1]]
            for following in [*numbers[1:], None]:
                batch = coming.pop().result()
                if following is not None:
                    coming.append(pool.submit(self.__getitem__, following))
                yield batch

    def __getitem__(self, number: int) -> Batch:
        generator = np.random.default_rng((self._seed, number))
        there, sessions, histories = self._spans[generator.integers(len(self._spans))]
        size = min(self._config.tickers, len(there))
        tickers = np.sort(generator.choice(there, size, replace=False))
        batch = self._table.batch(
            tickers,
            sessions,
            panel=generator.random(size) >= self._config.hide_panel,
            market=generator.random(size) >= self._config.hide_market,
            dates=self._dates_shown(generator.random(size)),
            learnt=self._learnt,
            inputs=range(INPUTS) if self._dates else PLAIN,
        )
        return batch.filled(histories)

    def _dates_shown(self, draws: np.ndarray) -> np.ndarray:
        """Return how many sessions ahead dates are shown to each history, (B,)."""
        hide = self._config.hide_dates if self._dates else 1.0
        return np.select([draws < hide, draws < (1 + hide) / 2], [0, SOON], AHEAD)
