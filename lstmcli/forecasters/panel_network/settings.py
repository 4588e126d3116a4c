"""Settings of the panel network and of its training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from lstmcli.frames import EARNINGS, Section
from lstmcli.models.base import Dropout, Units

EPOCH = 100
"""Batches between two progress reports, at each of which a fit can be resumed."""


class PanelNetworkConfig(Section):
    """Panel network: an LSTM corrects a wide regression of volatility, across tickers.

    Flow: see `network`; the forecast is that of `PanelRecipe`.
    """

    name: Literal["panel"] = "panel"

    known_ahead: ClassVar[tuple[str, ...]] = ()
    """Nothing: the columns hold what is known of the sessions ahead."""

    optional_events: ClassVar[tuple[str, ...]] = (EARNINGS,)
    """Announcements of results."""

    units: Units = 32
    """Size of the LSTM's state."""
    hidden: Units = 64
    """Width of the two dense layers behind it."""
    dropout: Dropout = 0.1
    """Share of the values that training leaves out at random."""
    batches: int = Field(1500, ge=0, le=1_000_000)
    """Steps of a training; it does not stop early. 0: the run that it starts from, as it is."""
    tickers: int = Field(96, ge=1, le=10_000)
    """Tickers of a batch."""
    span: int = Field(192, ge=65, le=10_000)
    """Sessions of a batch."""
    burn_in: int = Field(64, ge=0, le=5_000)
    """First sessions of a span, without loss: the state starts at zero."""
    learning_rate: float = Field(2e-3, gt=0, le=1)
    """Of the optimiser, AdamW; it warms up and fades to zero."""
    weight_decay: float = Field(1e-3, ge=0, lt=1)
    """Share of a weight that a step takes off, in units of the learning rate."""
    hide_panel: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the histories that are trained as if the ticker were alone."""
    hide_market: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of the histories that are trained without market series."""
    hide_dates: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the histories that are trained without dates of announcements. Of the others every
    second knows a date five sessions ahead, not before."""

    @field_validator("burn_in")
    @classmethod
    def _leaves_sessions_with_loss(cls, burn_in: int, info: ValidationInfo) -> int:
        # Fields are validated in their order, and a bad span has its own message.
        span = info.data.get("span")
        if span is not None and burn_in >= span:
            raise ValueError(
                f"Expected fewer than model.span, {span:,}, or no session teaches. "
                f"Received: {burn_in:,}."
            )
        return burn_in

    def brief(self, epochs: int) -> PanelNetworkConfig:
        """Return settings for a training of few epochs, of a fifth of the batches each."""
        return self.model_copy(update={"batches": min(self.batches, epochs * EPOCH // 5)})

    @property
    def epochs(self) -> int:
        """Progress reports of a training; one each `EPOCH` batches."""
        return -(-self.batches // EPOCH)
