from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference
from simulate import view_of

from lstmcli.errors import ConfigError
from lstmcli.features import (
    OWN_FEATURES,
    ewma_volatility,
    feature_matrix,
    garman_klass_variance,
)
from lstmcli.frames import BAR_COLUMNS, check_bars, total_return_prices

ORACLES: dict[str, Callable[[pd.DataFrame], list[float]]] = {
    "log_return": lambda bars: reference.log_return(bars.to_dict("records")),
    "range": lambda bars: reference.high_low_range(bars.to_dict("records")),
    "garman_klass": lambda bars: reference.garman_klass(bars.to_dict("records")),
    "ewma_volatility": lambda bars: reference.ewma_volatility(bars.to_dict("records")),
    "standardised_return": lambda bars: reference.standardised_return(bars.to_dict("records")),
    "relative_volatility": lambda bars: reference.relative_volatility(bars.to_dict("records")),
    "volume": lambda bars: reference.volume(bars.to_dict("records")),
    "momentum_5": lambda bars: reference.momentum(bars.to_dict("records"), 5),
    "momentum_20": lambda bars: reference.momentum(bars.to_dict("records"), 20),
    "momentum_60": lambda bars: reference.momentum(bars.to_dict("records"), 60),
    "weekday": lambda bars: reference.weekday([stamp.date() for stamp in bars.index]),
    "high_52w": lambda bars: reference.high_52w(bars.to_dict("records")),
}
FROM_TA_LIB = {"rsi", "macd", "atr", "bollinger"}
LONGEST_WARM_UP = 251


def simulated_bars(*, sessions: int = 400, seed: int = 1) -> pd.DataFrame:
    """Return bars of a random walk with gaps, two dividends and a session without volume."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, sessions)))
    open_ = close * np.exp(rng.normal(0, 0.01, sessions))
    bars = pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * np.exp(rng.exponential(0.005, sessions)),
            "low": np.minimum(open_, close) * np.exp(-rng.exponential(0.005, sessions)),
            "close": close,
            "volume": rng.lognormal(14, 0.5, sessions).round(),
            "dividend": 0.0,
            "split": 0.0,
        },
        index=pd.bdate_range("2020-01-01", periods=sessions, name="session"),
    )
    bars.iloc[[100, 330], bars.columns.get_loc("dividend")] = 0.7
    bars.iloc[300, bars.columns.get_loc("volume")] = 0.0
    check_bars(bars, "SIM")
    return bars


def matrix_of(bars: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    return feature_matrix(view_of(bars), names)


def of_bars(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Return a feature as a function of bars alone."""
    return lambda bars: OWN_FEATURES[name].column(view_of(bars))


def check_causal(column: Callable[[pd.DataFrame], pd.Series], bars: pd.DataFrame) -> None:
    """Fail unless every value is the same, bit for bit, whatever bars follow it."""
    full = column(bars).to_numpy()
    rng = np.random.default_rng(0)
    for last in (0, 1, 14, 20, 61, 251, 252, 299, len(bars) - 2):
        cut = bars.iloc[: last + 1]
        np.testing.assert_array_equal(column(cut).to_numpy(), full[: last + 1], strict=True)
        other = bars.copy()
        later = slice(last + 1, None)
        factors = rng.uniform(0.2, 5, (len(bars) - last - 1, 1))
        other.iloc[later, :4] = bars.iloc[later, :4].to_numpy() * factors
        other.iloc[later, 4] = rng.choice([0.0, 1e12], len(factors))
        other.iloc[later, 5] = 0.01 * other["close"].iloc[later]
        perturbed = column(other).to_numpy()[: last + 1]
        np.testing.assert_array_equal(perturbed, full[: last + 1], strict=True)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return simulated_bars()


@pytest.mark.parametrize("name", OWN_FEATURES)
def test_a_later_bar_never_changes_a_feature(name: str, bars: pd.DataFrame) -> None:
    check_causal(of_bars(name), bars)


@pytest.mark.parametrize(
    "fault",
    [
        lambda bars: bars["close"].rolling(5, center=True).mean(),
        lambda bars: bars["close"] / bars["close"].iloc[-1],
        lambda bars: (bars["volume"] - bars["volume"].mean()) / bars["volume"].std(),
        lambda bars: bars["close"].bfill().shift(-1),
    ],
    ids=["centred_mean", "adjusted_from_the_end", "scaled_on_everything", "tomorrow"],
)
def test_a_planted_look_ahead_is_caught(
    fault: Callable[[pd.DataFrame], pd.Series], bars: pd.DataFrame
) -> None:
    with pytest.raises(AssertionError):
        check_causal(fault, bars)


@pytest.mark.parametrize("name", ORACLES)
def test_a_feature_equals_its_plain_loop(name: str, bars: pd.DataFrame) -> None:
    column = of_bars(name)(bars)
    np.testing.assert_allclose(column, ORACLES[name](bars), rtol=1e-10, atol=1e-12)


def test_every_feature_has_an_oracle_or_comes_from_ta_lib() -> None:
    assert set(OWN_FEATURES) == set(ORACLES) | FROM_TA_LIB
    assert all(OWN_FEATURES[name].source.startswith("TA-Lib ") for name in FROM_TA_LIB)


@pytest.mark.parametrize("factor", [10.0, 1e-5])
def test_a_feature_is_free_of_the_price_scale(factor: float, bars: pd.DataFrame) -> None:
    scaled = bars.copy()
    scaled[["open", "high", "low", "close", "dividend"]] *= factor
    pd.testing.assert_frame_equal(
        matrix_of(scaled, OWN_FEATURES),
        matrix_of(bars, OWN_FEATURES),
        rtol=1e-6,
        atol=1e-9,
    )


def test_a_feature_is_free_of_the_volume_scale(bars: pd.DataFrame) -> None:
    scaled = bars.assign(volume=bars["volume"] * 1000)
    pd.testing.assert_frame_equal(
        matrix_of(scaled, OWN_FEATURES), matrix_of(bars, OWN_FEATURES), rtol=1e-12
    )


def test_a_dividend_is_no_jump_in_any_feature(bars: pd.DataFrame) -> None:
    plain = total_return_prices(bars).join(bars[["volume", "dividend", "split"]])
    plain["dividend"] = 0.0
    paying = plain.copy()
    paid_on, dividend = 350, 0.1 * plain["close"].iloc[349]
    # The price falls by what is paid, and the holder is as rich as before.
    paying.iloc[paid_on:, :4] *= 0.9
    paying.iloc[paid_on, paying.columns.get_loc("dividend")] = dividend
    pd.testing.assert_frame_equal(
        matrix_of(paying, OWN_FEATURES),
        matrix_of(plain, OWN_FEATURES),
        rtol=1e-8,
        atol=1e-10,
    )


def flat(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the bars with one price throughout, as of a suspended ticker."""
    return bars.assign(open=7.3, high=7.3, low=7.3, close=7.3, dividend=0.0)


def halted(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the bars with no trade at all after the first 280."""
    last = bars["close"].iloc[279]
    stopped = bars.copy()
    stopped.iloc[280:, :4] = last
    stopped.iloc[280:, 4:6] = 0.0
    return stopped


@pytest.mark.parametrize(
    "change",
    [
        lambda bars: bars,
        lambda bars: bars.assign(volume=0.0),
        flat,
        halted,
        lambda bars: flat(bars).assign(volume=0.0),
    ],
    ids=["usual", "no_volume", "flat", "halted", "flat_no_volume"],
)
def test_features_are_finite_after_the_warm_up(
    change: Callable[[pd.DataFrame], pd.DataFrame], bars: pd.DataFrame
) -> None:
    matrix = matrix_of(change(bars), OWN_FEATURES)
    values = matrix.to_numpy()
    assert values.shape == (len(bars), len(OWN_FEATURES))
    assert values.dtype == np.float64
    assert np.isfinite(values[LONGEST_WARM_UP:]).all()
    # A gap after the first value would break every window that crosses it.
    for name in matrix:
        known = np.isfinite(matrix[name].to_numpy())
        assert known[known.argmax() :].all(), name


def test_a_flat_price_gives_neutral_values(bars: pd.DataFrame) -> None:
    zero = ("log_return", "range", "standardised_return", "relative_volatility", "volume")
    zero += ("momentum_5", "momentum_20", "momentum_60", "macd", "atr", "bollinger", "high_52w")
    expected = dict.fromkeys(zero, 0.0) | {
        "garman_klass": 1e-4,
        "ewma_volatility": 1e-4,
        "rsi": 50.0,
        "weekday": float(bars.index[-1].weekday()),
    }
    last = matrix_of(flat(bars).assign(volume=0.0), expected).iloc[-1]
    assert last.to_dict() == pytest.approx(expected, abs=1e-12)


def test_indicators_read_a_steady_rise_as_such(bars: pd.DataFrame) -> None:
    close = 20 * 1.01 ** np.arange(len(bars))
    rising = bars.assign(open=close, high=close, low=close, close=close, dividend=0.0)
    last = matrix_of(rising, sorted(FROM_TA_LIB)).iloc[-1]
    assert last["rsi"] == pytest.approx(100)
    # True range is C[t] - C[t-1], a fixed share of the price, but older ones are smaller:
    # Wilder's mean of them is a geometric series.
    decay = (13 / 14) / 1.01
    assert last["atr"] == pytest.approx((0.01 / 1.01) * (1 / 14) / (1 - decay), rel=1e-6)
    # An exponential mean with weight w of a price that grows by g lags by a constant factor.
    lag = {n: (2 / (n + 1)) / (1 - (1 - 2 / (n + 1)) / 1.01) for n in (12, 26)}
    assert last["macd"] == pytest.approx(lag[12] - lag[26], rel=1e-6)
    # Twenty evenly spaced logs: 9.5 steps above their mean, deviation √((20²-1)/12) steps.
    assert last["bollinger"] == pytest.approx(9.5 / (2 * np.sqrt(399 / 12)), rel=1e-6)


def test_a_volatility_is_an_average_of_past_returns_alone(bars: pd.DataFrame) -> None:
    sigma = ewma_volatility(bars)
    assert sigma.name == "ewma_volatility"
    assert sigma.isna().sum() == 20
    assert sigma.iloc[20:].between(0.005, 0.06).all()


def test_garman_klass_finds_the_variance_of_a_simulated_walk() -> None:
    rng = np.random.default_rng(3)
    sessions, steps, sigma, gap = 1000, 400, 0.02, 0.01
    inside = rng.normal(0, sigma / np.sqrt(steps), (sessions, steps)).cumsum(axis=1)
    jumps = rng.normal(0, gap, sessions)
    opens = np.concatenate([[0.0], inside[:-1, -1]]).cumsum() + jumps.cumsum()
    paths = np.exp(opens[:, None] + np.hstack([np.zeros((sessions, 1)), inside]))
    bars = pd.DataFrame(
        {
            "open": paths[:, 0],
            "high": paths.max(axis=1),
            "low": paths.min(axis=1),
            "close": paths[:, -1],
            "volume": 1.0,
            "dividend": 0.0,
            "split": 0.0,
        },
        index=pd.bdate_range("2020-01-01", periods=sessions),
    )
    # Within 8 %: a path seen at 400 points misses a little of its range.
    assert garman_klass_variance(bars).mean() == pytest.approx(sigma**2 + gap**2, rel=0.08)


def test_the_matrix_keeps_the_order_of_the_names(bars: pd.DataFrame) -> None:
    matrix = matrix_of(bars, ("weekday", "log_return"))
    assert list(matrix) == ["weekday", "log_return"]
    assert matrix.index.equals(bars.index)


@pytest.mark.parametrize("sessions", [0, 1, 2, 19])
def test_few_bars_give_warm_up_rows_and_no_error(sessions: int, bars: pd.DataFrame) -> None:
    matrix = matrix_of(bars.iloc[:sessions], OWN_FEATURES)
    assert matrix.shape == (sessions, len(OWN_FEATURES))


def test_features_leave_the_bars_alone(bars: pd.DataFrame) -> None:
    before = bars.copy()
    matrix_of(bars, OWN_FEATURES)
    pd.testing.assert_frame_equal(bars, before)


def test_an_unknown_feature_is_named(bars: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="Received: log_retrun"):
        matrix_of(bars, ["log_return", "log_retrun"])


@pytest.mark.parametrize("name", OWN_FEATURES)
def test_a_feature_says_what_it_is_in_one_line(name: str) -> None:
    feature = OWN_FEATURES[name]
    assert feature.name == name
    for text in (feature.description, feature.unit, feature.source):
        assert text
        assert len(text) <= 90
        assert text.isprintable()


@pytest.mark.market
@pytest.mark.skipif("LSTM_MARKET_DATA" not in os.environ, reason="LSTM_MARKET_DATA is not set")
@pytest.mark.parametrize("ticker", ["MRK", "MDT"])
def test_real_bars_give_finite_features_in_their_usual_span(ticker: str) -> None:
    path = Path(os.environ["LSTM_MARKET_DATA"]) / f"{ticker}.csv"
    bars = pd.read_csv(path, parse_dates=["Date"], index_col="Date").rename(columns=str.lower)
    bars = bars.assign(dividend=0.0, split=0.0)[list(BAR_COLUMNS)]
    matrix = matrix_of(bars, OWN_FEATURES).iloc[LONGEST_WARM_UP:]
    assert np.isfinite(matrix.to_numpy()).all()
    assert matrix["rsi"].between(0, 100).all()
    assert matrix["high_52w"].le(0).all()
    # A share of these companies moves by one to three percent on a usual day.
    for name in ("range", "garman_klass", "ewma_volatility", "atr"):
        assert 0.01 < matrix[name].median() < 0.03, name
