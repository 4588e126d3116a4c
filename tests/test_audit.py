"""Leak checks: each passes on what is sound, and fails on the fault it is there for."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
from command import TINY, Lstm
from scipy.stats import norm
from simulate import panel_of, simulate_bars

from lstmcli.evaluation import leaks, simulation
from lstmcli.features import feature_matrix
from lstmcli.forecasters.base import Fitted, forecast_rows, join_forecasts
from lstmcli.forecasters.baselines import Ewma, Garch, Historical, RandomWalk
from lstmcli.forecasters.network import FittedNetwork, NetworkRecipe
from lstmcli.forecasters.training import TrainingConfig
from lstmcli.frames import (
    EVENT_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
    check_bars,
    cumulative_returns,
    log_returns,
)
from lstmcli.models import VARIANTS
from lstmcli.panel import MarketSeries, Panel, View
from lstmcli.splits import SplitConfig
from lstmcli.windows import WindowConfig, target_sessions

pytestmark = pytest.mark.tensorflow

H = 3


@cache
def panel() -> Panel:
    return panel_of(A=simulate_bars(600, seed=1), B=simulate_bars(600, seed=2))


@cache
def with_dividends() -> Panel:
    """Return a panel that pays a dividend every sixty sessions."""
    bars = {ticker: bars.copy() for ticker, bars in panel().items()}
    for table in bars.values():
        table.loc[table.index[30::60], "dividend"] = 1.0
    return panel().with_(bars=bars)


@cache
def with_everything() -> Panel:
    """Return a panel with dividends, a market series, and events known five days ahead."""
    sessions = panel()["A"].index[20::20]
    one = pd.DataFrame({"session": sessions, "known_on": sessions - pd.Timedelta(5, "D")})
    one = one.assign(kind="earnings", timing="after", status="expected", amount=1.0, source="test")
    events = pd.concat([one.assign(ticker=ticker) for ticker in panel()], ignore_index=True)
    vix = MarketSeries("^VIX", simulate_bars(600, seed=3), "XNYS")
    return with_dividends().with_(market={"vix": vix}, events=events[list(EVENT_COLUMNS)])


UNTIL = panel().sessions()[450]


def network(**changes) -> NetworkRecipe:
    fields = {
        "model": VARIANTS["dense"](units=(4,)),
        "window": WindowConfig(lookback=5, horizon=H),
        "split": SplitConfig(validation=40, calibration=40, test=40),
        "training": TrainingConfig(epochs=2, members=1, learning_rate=0.01, threads=1),
    }
    return NetworkRecipe(**{**fields, **changes})


@dataclass(frozen=True)
class Clairvoyant:
    """Its median leans towards what will come; nobody can do that honestly."""

    horizon: int = H
    lean: float = 0.5
    name: str = "clairvoyant"
    fit_end: pd.Timestamp = UNTIL
    learns_from: pd.Timestamp = UNTIL

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


def sound(view: View) -> pd.DataFrame:
    return feature_matrix(view, ("log_return", "range", "rsi", "macd"))


def test_a_centred_mean_is_found_among_features():
    assert leaks.check_features(sound, panel()).passed

    def centred(view: View) -> pd.DataFrame:
        smooth = log_returns(view.bars).rolling(5, center=True).mean()
        return sound(view).assign(smooth=smooth)

    found = leaks.check_features(centred, panel())
    assert not found.passed
    assert found.figure == "10 of 10 differ; allowed 0"


@pytest.mark.parametrize("column", ["dividend", "split"])
def test_a_feature_that_peeks_at_the_next_dividend_or_split_is_found(column: str):
    def last(view: View) -> pd.DataFrame:
        return sound(view).assign(paid=view.bars[column])

    def peeking(view: View) -> pd.DataFrame:
        return sound(view).assign(paid=view.bars[column].shift(-1))

    assert leaks.check_features(last, with_dividends()).passed
    for bars in (with_dividends(), panel()):
        assert not leaks.check_features(peeking, bars).passed


def test_a_feature_that_peeks_at_a_market_series_is_found():
    def at_close(view: View) -> pd.DataFrame:
        return pd.DataFrame({"vix": view.at_close("vix", view.market("vix")["close"])})

    def a_session_too_late(view: View) -> pd.DataFrame:
        return pd.DataFrame({"vix": view.at_close("vix", view.market("vix")["close"].shift(-1))})

    assert leaks.check_features(at_close, with_everything()).passed
    assert not leaks.check_features(a_session_too_late, with_everything()).passed


def test_a_feature_that_knows_an_event_before_it_is_announced_is_found():
    def counted(view: View, *, at_once: bool) -> pd.DataFrame:
        """Count the events of the next 30 days: those that are known, or all of them."""
        events, sessions = view.events("earnings"), view.sessions.to_numpy()[:, None]
        days = (events["session"].to_numpy() - sessions) / np.timedelta64(1, "D")  # (T, E)
        known = events["known_on"].to_numpy() <= sessions
        count = ((days > 0) & (days <= 30) & (known | at_once)).sum(axis=1)
        return pd.DataFrame({"events": count}, index=view.sessions)

    assert leaks.check_features(partial(counted, at_once=False), with_everything()).passed
    assert not leaks.check_features(partial(counted, at_once=True), with_everything()).passed


def test_what_was_known_stays_and_everything_after_changes():
    before = with_everything()
    session = before["A"].index[400]
    after = simulation.perturbed_panel(before, session, np.random.default_rng(0))
    assert after.until(session).sha256 == before.until(session).sha256
    for ticker, bars in after.items():
        check_bars(bars, ticker)
        later, old = bars.loc[bars.index > session], before[ticker].loc[bars.index > session]
        paid = old["dividend"] > 0
        assert paid.sum() > 2
        assert not np.isclose(later["dividend"], old["dividend"])[paid].any()
        assert (later["dividend"] > 0).sum() > paid.sum()
        assert (later["split"] > 0).sum() > 2
        assert (bars["dividend"] < bars["close"].shift(1)).iloc[1:].all()
        prices = ["open", "high", "low", "close", "volume"]
        assert not np.isclose(later[prices], old[prices], rtol=1e-9).any()
    vix, old = after.market["vix"].bars, before.market["vix"].bars
    assert not np.isclose(
        vix.loc[vix.index > session, "close"], old.loc[old.index > session, "close"]
    ).any()
    unknown = after.events[after.events["known_on"] > session]
    assert 0 < len(unknown) < (before.events["known_on"] > session).sum()
    assert (unknown["session"] != before.events.loc[unknown.index, "session"]).all()


def test_a_target_one_day_short_is_found():
    windows = network().windows(panel())
    assert leaks.check_targets(windows, panel()).passed
    short = replace(windows, level=np.append(windows.level[1:], np.nan))
    assert not leaks.check_targets(short, panel()).passed


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


def test_a_scaler_or_early_stopping_that_sees_the_test_block_is_found():
    assert leaks.check_fit(network(), panel(), UNTIL).passed
    fields = vars(network())
    for faulty in (EverythingScaled, StoppedOnTheTest):
        found = leaks.check_fit(faulty(**fields), panel(), UNTIL)
        assert not found.passed, faulty
        assert "allowed 0" in found.figure


@dataclass(frozen=True)
class KnowsTheDividend:
    """An EWMA whose quantiles fall by the dividend of the session after the origin."""

    inner: Fitted
    learns_from: pd.Timestamp = UNTIL
    fit_end: pd.Timestamp = UNTIL
    name: str = "knows the dividend"

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        forecast = self.inner.forecast(panel, origins)
        for ticker, bars in panel.items():
            rows = forecast["ticker"] == ticker
            share = (bars["dividend"].shift(-1) / bars["close"]).fillna(0.0)
            fall = share.loc[forecast.loc[rows, "made_on"]].to_numpy()[:, None]
            forecast.loc[rows, list(QUANTILE_COLUMNS)] -= fall
        return forecast


def test_a_forecast_that_knows_the_next_dividend_is_found():
    origins = list(panel().sessions()[[460, 500, 560]])
    for bars in (panel(), with_dividends()):
        ewma = Ewma(H).fit(bars, UNTIL)
        assert leaks.check_forecast(ewma, bars, origins).passed
        assert not leaks.check_forecast(KnowsTheDividend(ewma), bars, origins).passed


def test_a_forecast_that_reads_later_bars_is_found():
    origins = list(panel().sessions()[[460, 500, 560]])
    assert leaks.check_forecast(Ewma(H).fit(panel(), UNTIL), panel(), origins).passed
    assert not leaks.check_forecast(Clairvoyant().fit(panel(), UNTIL), panel(), origins).passed


def test_skill_on_shuffled_sessions_is_found():
    assert leaks.check_permuted(Ewma(H), panel(), H).passed
    found = leaks.check_permuted(Clairvoyant(), panel(), H)
    assert not found.passed
    assert found.figure.startswith("BEATS at 1 step")


def test_sessions_in_random_order_keep_their_returns():
    bars = panel()["A"]
    shuffled = simulation.permuted(bars, np.random.default_rng(0))
    before, after = np.sort(log_returns(bars).dropna()), np.sort(log_returns(shuffled).dropna())
    np.testing.assert_allclose(before, after, atol=1e-12)
    assert (shuffled["high"] >= shuffled[["open", "close", "low"]].max(axis=1) - 1e-9).all()
    assert not np.allclose(log_returns(bars).iloc[1:], log_returns(shuffled).iloc[1:])


def test_random_walks_that_seem_beaten_are_counted():
    assert not leaks.random_walk_is_beaten(Ewma(H), H, seed=1)
    assert leaks.random_walk_is_beaten(Clairvoyant(), H, seed=1)
    assert leaks.check_random_walks([False] * 20).passed
    assert leaks.check_random_walks([True] * 3 + [False] * 17).passed
    assert not leaks.check_random_walks([True] * 5 + [False] * 15).passed
    assert not leaks.check_random_walks([True] * 20 + [False] * 180).passed


def test_a_planted_signal_is_found_by_a_network_and_missed_by_who_cannot_see_it():
    recipe = network(
        model=VARIANTS["dense"](units=(8,)),
        split=SplitConfig(validation=0.1, calibration=0.15),
        training=TrainingConfig(epochs=10, members=1, learning_rate=0.003, threads=1),
    )
    assert leaks.check_planted(recipe, H).passed
    assert not leaks.check_planted(Historical(H), H).passed


def test_simulated_garch_is_forecast_by_garch_and_not_by_a_constant():
    sound = leaks.check_oracle(Garch(1), 1)
    assert sound.passed, sound.figure
    constant = leaks.check_oracle(RandomWalk(1), 1)
    assert not constant.passed, constant.figure


def test_what_knows_the_direction_too_well_is_suspect():
    from lstmcli.evaluation.metrics import realise

    origins = panel().sessions()[100:500]
    honest = realise(Ewma(H).fit(panel(), UNTIL).forecast(panel(), origins), panel())
    assert leaks.check_plausible(honest).passed
    knows = realise(Clairvoyant(lean=0.05).forecast(panel(), origins), panel())
    found = leaks.check_plausible(knows)
    assert not found.passed
    assert found.figure.endswith("SUSPECT")
    assert leaks.describe_copying(honest).passed is None


AUDIT = [*TINY, "--set", "window.horizon=2", "--workers", "2"]


def test_the_command_names_each_check_and_what_it_measured(lstm: Lstm, workspace):
    answer = lstm("audit", "GOOG", *AUDIT, "--set", "training.epochs=10", "--json")
    told = json.loads(answer.out)
    failed = [check["check"] for check in told["checks"] if check["passed"] is False]
    # So small a network need not find the signal; it must not leak.
    assert set(failed) <= {
        "a planted signal is found",
        "simulated GARCH is forecast like its maker would",
    }
    assert answer.code == (6 if failed else 0)
    assert len(told["checks"]) == 10
    assert all(check["did"] and check["figure"] for check in told["checks"])


@pytest.mark.nightly
def test_two_hundred_random_walks_are_not_beaten(lstm: Lstm, workspace):
    answer = lstm("audit", "GOOG", *AUDIT, "--thorough", "--json")
    checks = {check["check"]: check for check in json.loads(answer.out)["checks"]}
    walks = checks["random walks are not beaten"]
    assert walks["did"] == "200 simulated random walks, one network each"
    assert walks["passed"], walks["figure"]


def test_a_check_that_fails_ends_the_command_with_6(lstm: Lstm, workspace):
    answer = lstm("audit", "GOOG", *AUDIT, "--set", "training.learning_rate=1.0e-9")
    assert answer.code == 6
    assert "FAIL  a planted signal is found" in answer.out
    assert "pass  features look back only" in answer.out
    assert answer.out.rstrip().endswith("checks failed.")
    assert max(map(len, answer.out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("line", "code"), [(["NOPE"], 3), (["GOOG", "-c", "nope"], 2), (["GOOG", "--workers", "0"], 2)]
)
def test_what_cannot_be_audited_is_refused(lstm: Lstm, workspace, line, code):
    answer = lstm("audit", *line)
    assert (answer.code, answer.out) == (code, "")
