"""Leaks that somebody may build into a recipe; the audit must find each.

Each stands beside its honest counterpart where that is not obvious.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import norm

from lstmcli.features import ewma_volatility, feature_matrix
from lstmcli.features.announcements import known_spans
from lstmcli.forecasters.base import Fitted, forecast_rows, join_forecasts
from lstmcli.forecasters.network import FittedNetwork, NetworkRecipe
from lstmcli.forecasters.volatility.har import FittedHarVolatility
from lstmcli.frames import (
    EARNINGS,
    EARNINGS_SOURCES,
    EVENT_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
    cumulative_returns,
    log_returns,
)
from lstmcli.panel import MarketSeries, Panel, View
from lstmcli.windows import Windows, cut_windows, target_sessions

HONEST_FEATURES = ("log_return", "range", "rsi", "macd")


def with_everything(panel: Panel, vix: pd.DataFrame) -> Panel:
    """Return a panel with dividends, splits, a market series, and events known five days ahead."""
    bars = {ticker: one.copy() for ticker, one in panel.items()}
    for one in bars.values():
        one.loc[one.index[30::60], "dividend"] = 1.0
    sessions = panel.sessions()[20::20]
    known_on = sessions - pd.Timedelta(5, "D")
    one = pd.DataFrame({"session": sessions, "known_on": known_on})
    one = one.assign(kind="earnings", timing="after", status="expected", amount=1.0, source="test")
    events = pd.concat([one.assign(ticker=ticker) for ticker in panel], ignore_index=True)
    series = MarketSeries("^VIX", vix, "XNYS")
    return panel.with_(bars=bars, market={"vix": series}, events=events[list(EVENT_COLUMNS)])


def honest_features(view: View) -> pd.DataFrame:
    return feature_matrix(view, HONEST_FEATURES)


def honest_everything(view: View) -> pd.DataFrame:
    """Return what was known of dividends, splits, the market and events at each session."""
    vix = view.at_close("vix", view.market("vix")["close"])
    return honest_features(view).assign(
        dividend=view.bars["dividend"],
        split=view.bars["split"],
        vix=vix,
        events=_events_ahead(view, at_once=False),
    )


def centred_mean(view: View) -> pd.DataFrame:
    smooth = log_returns(view.bars).rolling(5, center=True).mean()
    return honest_features(view).assign(smooth=smooth)


def tomorrows(column: str, view: View) -> pd.DataFrame:
    return honest_features(view).assign(paid=view.bars[column].shift(-1))


def tomorrows_market(view: View) -> pd.DataFrame:
    vix = view.at_close("vix", view.market("vix")["close"].shift(-1))
    return honest_features(view).assign(vix=vix)


def tomorrows_event(view: View) -> pd.DataFrame:
    """Whether the next session has an event, known or not."""
    ahead = view.sessions[1:].isin(view.events("earnings")["session"])
    return honest_features(view).assign(event=np.append(ahead, False).astype(float))


def unannounced_events(view: View) -> pd.DataFrame:
    return honest_features(view).assign(events=_events_ahead(view, at_once=True))


def _events_ahead(view: View, *, at_once: bool) -> np.ndarray:
    """Count the events of the next 30 days: those that are known, or all of them."""
    events, sessions = view.events("earnings"), view.sessions.to_numpy()[:, None]
    days = (events["session"].to_numpy() - sessions) / np.timedelta64(1, "D")  # (T, E)
    known = events["known_on"].to_numpy() <= sessions
    return ((days > 0) & (days <= 30) & (known | at_once)).sum(axis=1).astype(float)


def sessions_to_the_next(view: View, events: pd.DataFrame) -> pd.DataFrame:
    """Return how many days the next announcement is away at each session, as it was known."""
    spans = known_spans(events)
    days = view.sessions.to_numpy("datetime64[D]")[:, None]
    sessions, since, until = (
        spans[name].to_numpy("datetime64[D]") for name in ("session", "since", "until")
    )
    known = (since <= days) & (days < until)
    away = np.where(known & (sessions > days), (sessions - days) / np.timedelta64(1, "D"), np.inf)
    return pd.DataFrame({"away": away.min(axis=1, initial=99)}, index=view.sessions)


def next_announcement(view: View) -> pd.DataFrame:
    return sessions_to_the_next(view, view.events(EARNINGS))


def announcement_before_it_is_known(view: View, *, source: str) -> pd.DataFrame:
    """What one source says is known from the beginning."""
    events = view.events(EARNINGS)
    first = events["known_on"].where(events["source"] != source, view.sessions[0])
    return sessions_to_the_next(view, events.assign(known_on=first))


def announcement_a_day_too_early(view: View) -> pd.DataFrame:
    events = view.events(EARNINGS)
    return sessions_to_the_next(
        view, events.assign(known_on=events["known_on"] - pd.Timedelta(days=1))
    )


def announcement_taken_back_before_it_is_known(view: View) -> pd.DataFrame:
    events = view.events(EARNINGS)
    first = events["known_on"].where(events["status"] != "withdrawn", view.sessions[0])
    gone = events.loc[events["status"] == "withdrawn", "session"]
    return sessions_to_the_next(view, events.assign(known_on=first)[~events["session"].isin(gone)])


def announcement_found_out_afterwards(view: View) -> pd.DataFrame:
    """Days since the last announcement, also where nobody had known of it."""
    days, sessions = view.sessions.to_numpy()[:, None], view.events(EARNINGS)["session"].to_numpy()
    since = np.where(sessions <= days, (days - sessions) / np.timedelta64(1, "D"), np.inf)
    return pd.DataFrame({"since": since.min(axis=1, initial=99)}, index=view.sessions)


LEAKY_ANNOUNCEMENTS = {
    "a day too early": announcement_a_day_too_early,
    "a withdrawal": announcement_taken_back_before_it_is_known,
    "found out afterwards": announcement_found_out_afterwards,
    **{
        source: partial(announcement_before_it_is_known, source=source)
        for source in EARNINGS_SOURCES
    },
}


class KnowsEveryEvent(NetworkRecipe):
    """A network that reads events known ahead from the first session on."""

    def windows(self, panel: Panel, volatility: FittedHarVolatility | None = None) -> Windows:
        first = panel.sessions()[0]
        return super().windows(panel.with_(events=panel.events.assign(known_on=first)), volatility)


def mean_close(view: View, *, shift: int) -> pd.DataFrame:
    """The mean close of all other tickers; that of the next session with shift = -1."""
    peers = view.panel.peers(view.ticker)
    others = [bars["close"] for ticker, bars in peers.items() if ticker != view.ticker]
    return honest_features(view).assign(others=pd.concat(others, axis=1).mean(axis=1).shift(shift))


LEAKY_FEATURES = {
    "a centred moving average": centred_mean,
    "tomorrow's dividend": partial(tomorrows, "dividend"),
    "tomorrow's split": partial(tomorrows, "split"),
    "tomorrow's market series": tomorrows_market,
    "tomorrow's event": tomorrows_event,
    "events before they are announced": unannounced_events,
}


def short_targets(windows: Windows) -> Windows:
    """Return windows whose targets end a session too early."""
    return replace(windows, level=np.append(windows.level[1:], np.nan))


class EverythingScaled(NetworkRecipe):
    """Its scaler is fitted on every session, those of the test block included."""

    def fit(self, panel: Panel, until: pd.Timestamp, **options) -> FittedNetwork:
        honest = super().fit(panel, until, **options)
        values = self.windows(panel).values
        every = values[np.isfinite(values).all(axis=1)]
        state = honest.state.model_copy(
            update={"mean": tuple(every.mean(axis=0)), "scale": tuple(every.std(axis=0))}
        )
        return replace(honest, state=state)


class StoppedOnTheTest(NetworkRecipe):
    """Early stopping looks at the test block."""

    def fit(self, panel: Panel, until: pd.Timestamp, **options) -> FittedNetwork:
        return super().fit(panel, panel.sessions()[-1], **options)


class PeekingVolatility(NetworkRecipe):
    """Its volatility has seen the session that comes."""

    def sigma(self, panel: Panel, volatility: FittedHarVolatility | None) -> dict[str, np.ndarray]:
        del volatility
        ahead = {t: ewma_volatility(bars).shift(-1).ffill() for t, bars in panel.items()}
        return {ticker: one.to_numpy()[:, None] for ticker, one in ahead.items()}


class ReadsTomorrow(NetworkRecipe):
    """One of its inputs is the centred moving average."""

    def windows(self, panel: Panel, volatility: FittedHarVolatility | None = None) -> Windows:
        return cut_windows(panel, centred_mean, self.sigma(panel, volatility), self.window)


@dataclass(frozen=True)
class KnowsTheDividend:
    """A forecaster whose quantiles fall by the dividend of the session after the origin."""

    inner: Fitted
    learns_from: pd.Timestamp
    fit_end: pd.Timestamp
    name: str = "knows the dividend"

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        forecast = self.inner.forecast(panel, origins)
        for ticker, bars in panel.items():
            rows = forecast["ticker"] == ticker
            share = (bars["dividend"].shift(-1) / bars["close"]).fillna(0.0)
            fall = share.loc[forecast.loc[rows, "made_on"]].to_numpy()[:, None]
            forecast.loc[rows, list(QUANTILE_COLUMNS)] -= fall
        return forecast


@dataclass(frozen=True)
class Clairvoyant:
    """Its median leans towards what will come; nobody can do that honestly."""

    horizon: int
    lean: float = 0.5
    name: str = "clairvoyant"
    fit_end: pd.Timestamp = pd.NaT
    learns_from: pd.Timestamp = pd.NaT

    def fit(self, panel: Panel, until: pd.Timestamp) -> Clairvoyant:
        return replace(self, fit_end=until, learns_from=until)

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        parts = []
        for ticker, bars in panel.items():
            rows = np.flatnonzero(bars.index.isin(origins))
            made_on = pd.DatetimeIndex(bars.index[rows])
            sigma = log_returns(bars).std() * np.sqrt(np.arange(1, self.horizon + 1))
            came = np.nan_to_num(cumulative_returns(bars, self.horizon)[rows])
            spread = (1 - self.lean) * sigma[:, None] * norm.ppf(QUANTILES)
            parts.append(
                forecast_rows(
                    self.name,
                    ticker,
                    made_on=made_on,
                    target_on=target_sessions(panel, ticker, made_on, self.horizon),
                    last_close=bars["close"].to_numpy()[rows],
                    sigma=np.tile(sigma, (len(rows), 1)),
                    quantiles=self.lean * came[:, :, None] + spread,
                    least=np.zeros(len(rows)),
                )
            )
        return join_forecasts(parts)
