"""What a run keeps of a fitted network beside its weights."""

from __future__ import annotations

from lstmcli.forecasters.volatility.har import FittedHarVolatility
from lstmcli.frames import Section


class NetworkState(Section):
    """What a fitted network needs beside its weights.

    Attributes:
        tickers: whose bars it was fitted on.
        features: columns of a window, in order.
        mean, scale: (F,) of the `StandardScaler`, from training rows alone.
        base_quantiles: (H, Q) of the scaled target over training windows; of runs up to
            version 0.2 the empirical ones.
        blocks: first and last origin of each block.
        fit_end: the last session used, by a label of the calibration block at most.
        best_epochs: per member; 0 where the untrained baseline was best.
    """

    tickers: tuple[str, ...]
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    base_quantiles: tuple[tuple[float, ...], ...]
    blocks: dict[str, tuple[str, str]]
    fit_end: str
    best_epochs: tuple[int, ...]
    volatility: FittedHarVolatility | None = None
    """Of `scale: har`, and of a blend with HAR, fitted on the training block."""


def state_bytes(state: NetworkState) -> bytes:
    """Return the JSON that a run keeps."""
    return (state.model_dump_json(indent=2) + "\n").encode()
