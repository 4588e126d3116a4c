"""Blocks of origins by date: train, validation, calibration, test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import pandas as pd
from pydantic import Field, model_validator

from lstmcli.errors import NoDataError
from lstmcli.frames import Section

MIN_TRAIN = 100
"""Origins that the training block needs; fewer teach nothing."""

MIN_BLOCK = 10
"""Origins that each of the other blocks needs to say anything."""


Share = (
    Annotated[int, Field(strict=True, ge=MIN_BLOCK)]
    | Annotated[float, Field(strict=True, gt=0, lt=1)]
)


class SplitConfig(Section):
    """The sizes of the blocks behind the training block.

    A share of all origins, or a whole number of sessions (scikit-learn's
    convention for `test_size`).
    """

    validation: Share = 0.1
    """Decides which epoch is kept."""
    calibration: Share = 0.15
    """Forecast, not fitted: the first errors that calibration learns from."""
    test: Share = 0.1
    """Judges the scored fit; the final fit has no test block."""

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        total = sum(size for size in self._sizes() if isinstance(size, float))
        if total >= 0.9:
            raise ValueError(f"the shares leave {1 - total:.0%} to train on; expected over 10 %")
        return self

    def _sizes(self) -> tuple[int | float, int | float, int | float]:
        return self.validation, self.calibration, self.test

    def resolve(self, origins: int) -> SplitConfig:
        """Return the split with every share as a whole number of sessions."""
        sizes = [
            size if isinstance(size, int) else max(MIN_BLOCK, round(size * origins))
            for size in self._sizes()
        ]
        return SplitConfig(validation=sizes[0], calibration=sizes[1], test=sizes[2])

    def origins_needed(self, horizon: int, *, train: int = MIN_TRAIN) -> int:
        """Return the fewest origins that leave so many to train on."""
        each = [size for size in self._sizes() if isinstance(size, float)]
        shares = sum(each)
        fixed = sum(size for size in self._sizes() if isinstance(size, int))
        # Three boundaries, each with `horizon` purged origins before it.
        least = train + fixed + 3 * horizon
        origins = int(least / (1 - shares))
        # A share is rounded, by a half at most, and a small one counts as the least block.
        while origins - sum(max(MIN_BLOCK, s * origins + 0.5) for s in each) < least:
            origins += 1
        return origins


@dataclass(frozen=True)
class Block:
    """A run of origins: sessions, ascending. Its targets reach `horizon` further."""

    name: str
    origins: pd.DatetimeIndex

    @property
    def first(self) -> pd.Timestamp:
        return self.origins[0]

    @property
    def last(self) -> pd.Timestamp:
        return self.origins[-1]


def split_origins(
    origins: pd.DatetimeIndex, split: SplitConfig, horizon: int, *, test: bool
) -> dict[str, Block]:
    """Cut origins into train, validation, calibration and, if asked, test blocks.

    By date, over all tickers at once, from the last origin backwards. The
    `horizon` origins before each boundary are dropped, so that no target
    straddles two blocks (a purge).
    Source: López de Prado (2018), Advances in Financial Machine Learning, ch. 7.

    Args:
        origins: sessions with a labelled window, ascending.
        split: sizes in sessions, from `SplitConfig.resolve`.

    Raises:
        NoDataError: fewer than `MIN_TRAIN` origins are left to train on.
    """
    sizes = {"validation": split.validation, "calibration": split.calibration}
    if test:
        sizes["test"] = split.test
    end = len(origins)
    blocks = {}
    for name, size in reversed(sizes.items()):
        start = end - int(size)
        blocks[name] = Block(name, origins[max(start, 0) : max(end, 0)])
        end = start - horizon
    if end < MIN_TRAIN:
        raise NoDataError(
            f"Expected at least {MIN_TRAIN} sessions to train on. Received: {max(end, 0)}."
        )
    blocks["train"] = Block("train", origins[:end])
    return {name: blocks[name] for name in ("train", *sizes)}
