"""A forecaster that is no network over windows, for tests of what trains and keeps any kind.

It reads whole histories, the volatility of its peers, and VIX where there is any. It keeps
an array and JSON.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from lstmcli.features import ewma_volatility
from lstmcli.forecasters.base import Fitted, forecast_rows, join_forecasts
from lstmcli.forecasters.run_recipe import UNTRAINED, Stage, UnexpectedContent, Work
from lstmcli.forecasters.training import HISTORY_COLUMNS, Epoch, Silent, Watch
from lstmcli.frames import QUANTILES, cumulative_returns
from lstmcli.panel import Panel, View
from lstmcli.splits import MIN_TRAIN, SplitConfig, split_origins
from lstmcli.trading import least_volatility
from lstmcli.windows import target_sessions

WEIGHTS = "weights.npz"


@dataclass(frozen=True)
class Labels:
    """What is learnt from: the returns that came."""

    panel: Panel
    horizon: int

    def labels(self, ticker: str, step: int) -> pd.Series:
        came = cumulative_returns(self.panel[ticker], self.horizon)
        whole = np.isfinite(came).all(axis=1) & (np.arange(len(came)) >= CommonVolatility.lookback)
        return pd.Series(came[whole, step - 1], index=self.panel[ticker].index[whole])

    def origins(self) -> pd.DatetimeIndex:
        parts = [self.labels(ticker, 1).index.to_numpy() for ticker in self.panel]
        return pd.DatetimeIndex(np.unique(np.concatenate(parts)))


@dataclass(frozen=True)
class CommonVolatility:
    """Volatility between that of a ticker and the median of its peers; VIX adds a little."""

    name: str
    horizon: int
    split: SplitConfig

    lookback: ClassVar[int] = 25
    library: ClassVar[str] = "NumPy"
    work: ClassVar[Work] = Work(1, least=1, most=1)
    series: ClassVar[tuple[str, ...]] = ()
    optional_series: ClassVar[tuple[str, ...]] = ("vix",)
    reads_others: ClassVar[bool] = True
    alone: ClassVar[bool] = False
    volatility_alone: ClassVar[bool] = True

    def columns(self, view: View) -> pd.DataFrame:
        peers = view.panel.peers(view.ticker)
        own = {ticker: ewma_volatility(bars) for ticker, bars in peers.items()}
        common = pd.DataFrame(own).median(axis=1).reindex(view.sessions)
        fear = pd.Series(0.0, view.sessions)
        if "vix" in view.panel.market:
            level = view.at_close("vix", np.log(view.market("vix")["close"] / 100))
            fear = level.fillna(0.0)
        return pd.DataFrame({"own": own[view.ticker], "common": common, "fear": fear})

    def prepare(self, panel: Panel) -> Labels:
        return Labels(panel, self.horizon)

    def least_train(self, tickers: int) -> int:
        return MIN_TRAIN

    def check_training(self, prepared: Labels, origins: pd.DatetimeIndex) -> None:
        """Nothing that it is told can be too much."""

    def fit(
        self,
        panel: Panel,
        until: pd.Timestamp,
        *,
        watch: Watch | None = None,
        fit: str = "final",
        prepared: Any = None,
    ) -> FittedCommonVolatility:
        past = panel.until(until)
        origins = Labels(past, self.horizon).origins()
        split = self.split.resolve(len(origins))
        blocks = split_origins(origins, split, self.horizon, test=False)
        rows = []
        for epoch, loss in enumerate((1.0, 0.75)):
            rows.append((fit, 1, epoch, loss, loss, 0.1))
            (watch or Silent()).on_epoch(Epoch(fit, 1, 1, epoch, 1, loss, loss, epoch, 0.1))
        last = past.until(blocks["train"].last)
        state = {
            "blocks": {n: [str(b.first.date()), str(b.last.date())] for n, b in blocks.items()},
            "fit_end": str(past.sessions()[-1].date()),
            "best_epochs": [1],
            "feared": "vix" in panel.market,
            "recipe": "common volatility",
        }
        drift = np.mean([np.log(bars["close"]).diff().mean() for bars in last.values()])
        history = pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
        return FittedCommonVolatility(self, np.array([0.3, 0.01, drift]), state, history)

    def restore(
        self,
        state: bytes,
        files: Mapping[str, bytes],
        *,
        history: pd.DataFrame,
        with_keras: bool = False,
    ) -> FittedCommonVolatility:
        known = json.loads(state)
        if known.get("recipe") != "common volatility":
            raise UnexpectedContent("Expected a common volatility. Received: another recipe.")
        try:
            with np.load(io.BytesIO(files[WEIGHTS])) as arrays:
                return FittedCommonVolatility(self, arrays["weights"], known, history)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError("its weights cannot be read") from error


@dataclass(frozen=True)
class FittedCommonVolatility:
    """Three numbers.

    Attributes:
        asked: the tickers of each forecast so far, forecast and beside.
    """

    recipe: CommonVolatility
    weights: np.ndarray
    state: Mapping[str, Any]
    history: pd.DataFrame
    suffix: str = ""
    asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.recipe.name + self.suffix

    @property
    def fit_end(self) -> pd.Timestamp:
        return pd.Timestamp(self.state["fit_end"])

    @property
    def learns_from(self) -> pd.Timestamp:
        return pd.Timestamp(self.state["blocks"]["calibration"][0])

    @property
    def best_epochs(self) -> tuple[int, ...]:
        return tuple(self.state["best_epochs"])

    @property
    def parameters(self) -> int:
        return len(self.weights)

    def untrained(self) -> Fitted:
        return replace(self, weights=np.zeros(3), suffix=UNTRAINED)

    def learnt(self) -> str:
        return f"{self.weights.tolist()} {json.dumps(self.state)}"

    def with_prepared(self, prepared: Labels) -> FittedCommonVolatility:
        return self

    def exported(self, on_stage: Stage) -> FittedCommonVolatility:
        return self

    def stored_state(self) -> bytes:
        return json.dumps(self.state).encode()

    def files(self) -> dict[str, bytes]:
        stream = io.BytesIO()
        np.savez(stream, weights=self.weights)
        return {WEIGHTS: stream.getvalue()}

    def attention(self, panel: Panel, ticker: str, origin: pd.Timestamp) -> None:
        return None

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        self.asked.append((tuple(panel), tuple(panel.beside)))
        steps = np.arange(1, self.recipe.horizon + 1)
        share, fear, drift = self.weights
        parts = []
        for ticker, bars in panel.items():
            seen = self.recipe.columns(panel.view(ticker))
            rows = np.flatnonzero(bars.index.isin(origins))
            rows = rows[rows >= self.recipe.lookback]
            one = (1 - share) * seen["own"] + share * seen["common"]
            one = (one * np.exp(fear * seen["fear"])).to_numpy()[rows]
            sigma = one[:, None] * np.sqrt(steps)
            made_on = pd.DatetimeIndex(bars.index[rows])
            parts.append(
                forecast_rows(
                    self.name,
                    ticker,
                    made_on=made_on,
                    target_on=target_sessions(panel, ticker, made_on, self.recipe.horizon),
                    last_close=bars["close"].to_numpy()[rows],
                    sigma=sigma,
                    quantiles=drift * steps[:, None] + sigma[:, :, None] * norm.ppf(QUANTILES),
                    least=least_volatility(bars)[rows],
                )
            )
        return join_forecasts(parts)
