"""What every network is: a config section that builds a Keras model."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field

from lstmcli.frames import Section
from lstmcli.models.runtime import load_tensorflow

if TYPE_CHECKING:
    import keras

STEP_CHANNEL = 1
"""Stands behind what is known ahead of each session forecast: h / H."""

Units = Annotated[int, Field(strict=True, ge=1, le=4096)]

Dropout = Annotated[float, Field(ge=0, lt=1)]
"""Share of a layer's outputs that training drops."""


class WindowShape(NamedTuple):
    """The shape of the windows that a network reads, and of its forecast.

    Attributes:
        future: K, numbers known ahead of each session forecast.
    """

    lookback: int
    features: int
    horizon: int
    future: int = 0


class ModelConfig(Section):
    """The settings of a network; `build` makes it.

    A variant declares `name: Literal["…"] = "…"`, its settings, and `encode`.
    """

    name: str

    decodes: ClassVar[bool] = False
    """Whether `encode` reads the sessions forecast one by one, and returns a vector for each."""

    known_ahead: ClassVar[tuple[str, ...]] = ()
    """Inputs known ahead that the network reads where the config names none."""

    optional_events: ClassVar[tuple[str, ...]] = ()
    """Kinds of events that it reads where some are stored."""

    def check_window(self, lookback: int) -> None:
        """Check the settings against the lookback.

        Raises:
            ValueError: with the reason and a lookback that would do.
        """

    def brief(self, epochs: int) -> Self:
        """Return settings for a training of few epochs; here the training section has them."""
        del epochs
        return self

    @abstractmethod
    def encode(self, inputs: dict[str, Any]) -> Any:
        """Return what the head reads: (N, U), or (N, H, U) for one vector a step.

        Args:
            inputs: `window` (N, L, F), and where there are any `targets` (N, H, K + 1): what
                is known ahead of each session forecast, and h / H.
        """

    def reads_targets(self, future: int) -> bool:
        """Return whether the network has an input `targets`, with K = `future`."""
        return self.decodes or future > 0

    def build(self, shape: WindowShape, base_quantiles: np.ndarray) -> keras.Model:
        """Return the untrained network; it forecasts exactly `base_quantiles`.

        Args:
            base_quantiles: (H, Q) of the scaled target; see `forecasters.base_quantiles`.

        Returns:
            window (N, L, F) → quantiles (N, H, Q), in units of `sigma * sqrt(h)`.
        """
        load_tensorflow()
        import keras

        from lstmcli.models.layers import quantile_head

        inputs = {"window": keras.Input((shape.lookback, shape.features), name="window")}
        if self.reads_targets(shape.future):
            channels = shape.future + STEP_CHANNEL
            inputs["targets"] = keras.Input((shape.horizon, channels), name="targets")
        # A network that decodes has read its targets; for any other the head does.
        targets = None if self.decodes else inputs.get("targets")
        outputs = quantile_head(self.encode(inputs), base_quantiles, targets)
        # A list: of a dict, a saved network would forget the names.
        return keras.Model(list(inputs.values()), outputs, name=self.name)
