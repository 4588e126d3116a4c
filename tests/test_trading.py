"""Which bars say something of a price, and the least that a price in ticks can move."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulate import panel_of, simulate_bars

from lstmcli.errors import DataError
from lstmcli.evaluation.metrics import realise, score_fully
from lstmcli.features import ewma_volatility, feature_matrix
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.blend import Blend
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.network import NetworkRecipe
from lstmcli.forecasters.training import TrainingConfig
from lstmcli.frames import COVERAGES, check_forecast, endpoints, interval_columns
from lstmcli.models import VARIANTS
from lstmcli.panel import Panel
from lstmcli.trading import (
    check_moves,
    check_origin,
    last_relisting,
    least_volatility,
    missing_before,
    readable,
    suspended,
    suspension,
    trading_notes,
    without_filled_days,
)
from lstmcli.windows import WindowConfig, cut_windows

BARS = simulate_bars(400, seed=5)
DAYS = pd.DatetimeIndex(BARS.index)


def resting(bars: pd.DataFrame, first: int, count: int) -> pd.DataFrame:
    """Return bars without a trade in `count` sessions from row `first` on."""
    bars = bars.copy()
    rows = bars.index[first : first + count]
    bars.loc[rows, ["open", "high", "low", "close"]] = bars["close"].iloc[first - 1]
    bars.loc[rows, "volume"] = 0.0
    return bars


def stepped(bars: pd.DataFrame, row: int, factor: float) -> pd.DataFrame:
    """Return bars whose prices are multiplied from a row on."""
    bars = bars.copy()
    bars.loc[bars.index[row] :, ["open", "high", "low", "close"]] *= factor
    return bars


@pytest.mark.parametrize(("count", "found"), [(1, 0), (9, 0), (10, 10), (57, 57)])
def test_ten_still_sessions_without_volume_are_a_suspension(count, found):
    bars = resting(BARS, 100, count)
    expected = np.isin(np.arange(400), np.arange(100, 100 + found))
    assert (suspended(bars) == expected).all()
    assert suspension(bars) is None
    kept = readable(bars, "XNYS")
    assert list(kept.index) == list(DAYS[~expected])


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
def test_a_session_with_a_trade_ends_a_suspension(name):
    bars = resting(BARS, 100, 15)
    assert suspended(bars).sum() == 15
    bars.iloc[105, bars.columns.get_loc(name)] += 1.0
    assert not suspended(bars)[:106].any()


def test_rounding_is_no_trade():
    bars = resting(BARS, 100, 15)
    noise = 1 + 1e-7 * np.random.default_rng(0).uniform(-1, 1, 15)
    bars.iloc[100:115, bars.columns.get_loc("close")] *= noise
    assert suspended(bars).sum() == 15


def test_a_suspension_at_the_end_is_named_and_refused():
    bars = resting(BARS, 380, 20)
    found = suspension(bars)
    assert (found.since, found.sessions) == (DAYS[379], 20)
    with pytest.raises(DataError, match="none since 2016-") as caught:
        check_origin(bars, "XYZ")
    since = f"{DAYS[379]:%Y-%m-%d}"
    assert str(caught.value) == (
        "XYZ: Expected a session with trades at the origin. "
        f"Received: none since {since} (20 sessions)."
    )
    assert f"--as-of {since}" in caught.value.hint
    assert trading_notes(bars, "XNYS") == (
        f"no trade since {since} (20 sessions): no forecast until it trades",
    )
    # What the hint names can be forecast from; so can a session before the tenth.
    check_origin(bars.loc[:since], "XYZ")
    check_origin(bars.iloc[:389], "XYZ")


def test_a_fund_with_one_value_a_day_is_not_suspended_within_a_quarter():
    fund = BARS.assign(open=BARS["close"], high=BARS["close"], low=BARS["close"], volume=0.0)
    assert not suspended(resting(fund, 100, 59)).any()
    assert suspended(resting(fund, 100, 60)).sum() == 60


def test_a_dividend_in_a_suspension_belongs_to_the_first_trade_after_it():
    bars = resting(BARS, 100, 30)
    bars.iloc[[105, 110, 130], bars.columns.get_loc("dividend")] = 0.5, 0.25, 1.0
    bars.iloc[107, bars.columns.get_loc("split")] = 2.0
    kept = readable(bars, "XNYS")
    assert kept["dividend"].iloc[100] == 1.75
    assert kept["split"].iloc[100] == 2.0
    assert kept["dividend"].sum() == bars["dividend"].sum()


@pytest.mark.parametrize("calendar", ["XNYS", "weekdays"])
@pytest.mark.parametrize(
    ("missing", "factor", "relisted"),
    [
        (20, 10.0, True),
        (89, 0.2, True),
        (30, 1.5, True),
        (15, 10.0, False),
        (40, 1.0, False),
        (0, 10.0, False),
    ],
)
def test_a_large_step_across_many_missing_sessions_is_a_relisting(
    missing, factor, relisted, calendar
):
    bars = stepped(BARS, 250, factor).drop(DAYS[250 - missing : 250])
    found = last_relisting(bars, calendar)
    assert found == (DAYS[250] if relisted else None)
    kept = readable(bars, calendar)
    assert kept.index[0] == (DAYS[250] if relisted else DAYS[0])
    notes = trading_notes(bars, calendar)
    said = (f"relisted on {DAYS[250]:%Y-%m-%d}: earlier bars are stored and not read",)
    assert notes == (said if relisted else ())


def test_a_walk_across_missing_sessions_is_seldom_a_relisting():
    found = 0
    for seed in range(200):
        bars = simulate_bars(200, seed=seed)
        found += last_relisting(bars.drop(bars.index[80:140]), "XNYS") is not None
    assert found <= 4  # 3 σ: one of 370


def test_a_relisting_is_not_known_before_its_first_session():
    bars = stepped(BARS, 250, 10.0).drop(DAYS[200:250])
    assert last_relisting(bars.loc[: DAYS[199]], "XNYS") is None
    assert last_relisting(bars.loc[: DAYS[250]], "XNYS") == DAYS[250]


def test_a_suspension_may_end_with_a_relisting():
    filled = stepped(resting(BARS, 200, 50), 250, 10.0)
    assert readable(filled, "XNYS").index[0] == DAYS[250]
    assert readable(stepped(resting(BARS, 200, 50), 250, 1.02), "XNYS").index[0] == DAYS[0]


def test_missing_sessions_are_counted_by_the_calendar():
    dropped = [*DAYS[50:53], *DAYS[100:112], DAYS[200]]
    kept = DAYS.drop(dropped)
    found = missing_before("XNYS", kept)
    assert found[kept.get_loc(DAYS[53])] == 3
    assert found[kept.get_loc(DAYS[112])] == 12
    assert found[kept.get_loc(DAYS[201])] == 1
    assert (found > 0).sum() == 3


def test_without_a_calendar_ten_weekdays_are_missing_and_a_holiday_is_not():
    days = pd.bdate_range("2015-01-05", periods=300)
    kept = days.drop([*days[100:109], *days[200:210]])
    found = missing_before("weekdays", kept)
    assert found[kept.get_loc(days[210])] == 10
    assert (found > 0).sum() == 1
    # Of a series with one bar a week, none is missing.
    assert not missing_before("weekdays", pd.date_range("2015-01-05", periods=90, freq="7D")).any()


@pytest.mark.parametrize("calendar", ["XNYS", "weekdays"])
def test_no_training_window_crosses_a_suspension(calendar):
    panel = Panel({"A": readable(resting(BARS, 200, 12), calendar)}, {"A": calendar})
    cut = cut_windows(
        panel,
        lambda view: feature_matrix(view, ("log_return",)),
        {"A": ewma_volatility(panel["A"]).to_numpy()[:, None]},
        WindowConfig(lookback=10, horizon=5),
    )
    origins = np.flatnonzero(cut.trainable)
    # Row 200 of what is left is the first session after the suspension.
    assert cut.session[200] == DAYS[212]
    across = (origins - 9 < 200) & (origins + 5 >= 200)
    assert not across.any()
    assert {194, 209} <= set(origins)
    # A forecast may reach back across it.
    assert cut.forecastable[200]


def filled_forward(bars: pd.DataFrame, how: str) -> pd.DataFrame:
    """Return bars with a row on every day, filled from the row before."""
    every = bars.reindex(pd.date_range(bars.index[0], bars.index[-1], name="session"))
    new = every["close"].isna()
    filled = every.ffill()
    filled.loc[new, ["dividend", "split"]] = 0.0
    if how != "whole rows":
        for name in ("open", "high", "low"):
            filled.loc[new, name] = filled.loc[new, "close"]
    if how == "closes without volume":
        filled.loc[new, "volume"] = 0.0
    return filled


@pytest.mark.parametrize("how", ["closes", "closes without volume", "whole rows"])
def test_days_that_were_filled_forward_are_dropped_and_counted(how):
    filled = filled_forward(BARS, how)
    found, dropped = without_filled_days(filled, "XNYS")
    pd.testing.assert_frame_equal(found, BARS, check_freq=False)
    assert dropped == len(filled) - 400
    # Where each day is a session, each row stays.
    assert without_filled_days(filled, "24/7")[1] == 0


def test_without_a_calendar_weekends_are_dropped_and_holidays_stay():
    filled = filled_forward(BARS, "closes without volume")
    found, dropped = without_filled_days(filled, "weekdays")
    weekend = filled.index.day_of_week >= 5
    assert dropped == weekend.sum()
    assert found.index.equals(filled.index[~weekend])
    # Where one Sunday has traded, the others may have been quiet.
    sunday = np.flatnonzero(filled.index.day_of_week == 6)[3]
    filled.iloc[sunday, filled.columns.get_loc("high")] *= 1.01
    assert without_filled_days(filled, "weekdays")[1] == (filled.index.day_of_week == 5).sum()


def test_a_special_session_and_a_dividend_on_a_filled_day_are_kept():
    filled = filled_forward(BARS, "closes without volume")
    saturday = np.flatnonzero(filled.index.day_of_week == 5)
    filled.iloc[saturday[2], filled.columns.get_loc("high")] *= 1.01
    filled.iloc[saturday[5], filled.columns.get_loc("dividend")] = 0.4
    found, dropped = without_filled_days(filled, "XNYS")
    assert dropped == len(filled) - 401
    assert filled.index[saturday[2]] in found.index
    after = found.index[found.index > filled.index[saturday[5]]][0]
    assert found.at[after, "dividend"] == 0.4


def flat(sessions: int, price: float = 1.0, volume: float = 0.0) -> pd.DataFrame:
    bars = simulate_bars(sessions, returns=np.zeros(sessions))
    return bars.assign(open=price, high=price, low=price, close=price, volume=volume)


def test_a_price_that_never_moves_is_refused():
    for bars in (flat(700), flat(700, volume=1e6), flat(30)):
        with pytest.raises(DataError, match=f"in all {len(bars)} sessions") as caught:
            check_moves(bars, "VMFSX")
        assert caught.value.exit_code == 6
    pegged = resting(BARS, 149, 251).assign(volume=1e6)
    with pytest.raises(DataError, match="in the last 250 sessions"):
        check_moves(pegged, "PEG")
    check_moves(resting(BARS, 152, 248).assign(volume=1e6), "PEG")


def test_a_price_that_moves_now_and_then_is_sound():
    check_moves(BARS, "A")
    check_moves(BARS.assign(volume=0.0), "^INDEX")
    fund = BARS.assign(open=BARS["close"], high=BARS["close"], low=BARS["close"], volume=0.0)
    check_moves(fund, "FUND")
    still = resting(BARS, 340, 60).assign(volume=1e6)
    check_moves(still, "STILL")
    # A suspended share has moved: it is not forecast, and it is stored.
    check_moves(resting(BARS, 100, 300), "SUSPENDED")
    # A file of a few sessions may show no step by chance.
    check_moves(flat(5), "NEW")


def test_the_least_volatility_is_half_the_smallest_step_of_a_year():
    generator = np.random.default_rng(3)
    steps = generator.choice([0.0, 0.01, -0.01, 0.05], 700, p=[0.7, 0.1, 0.1, 0.1])
    steps[300:640] = 0.0
    close = np.round(5 + np.cumsum(steps), 2)
    bars = simulate_bars(700, returns=np.zeros(700)).assign(close=close)
    found = least_volatility(bars)
    tick = np.nan
    for t in range(700):
        recent = [abs(close[s] - close[s - 1]) for s in range(max(1, t - 249), t + 1)]
        tick = min((step for step in recent if step > 1e-9), default=tick)
        expected = 1e-4 if np.isnan(tick) else max(tick / 2 / close[t], 1e-4)
        assert found[t] == pytest.approx(expected, rel=1e-6)
    assert (ewma_volatility(bars).dropna() >= found[20:]).all()
    np.testing.assert_array_equal(least_volatility(bars.iloc[:500]), found[:500])


def test_the_floor_of_an_ordinary_share_never_binds():
    returns = np.log(BARS["close"]).diff()
    plain = np.sqrt((returns**2).ewm(alpha=0.06, min_periods=20).mean())
    np.testing.assert_allclose(ewma_volatility(BARS), plain, rtol=1e-12)


def of_closes(close: np.ndarray) -> pd.DataFrame:
    """Return bars that open at the close before, with volume and no range beyond that."""
    before = np.concatenate([close[:1], close[:-1]])
    return simulate_bars(len(close), returns=np.zeros(len(close))).assign(
        open=before, close=close, high=np.maximum(before, close), low=np.minimum(before, close)
    )


def thin_penny(sessions: int, seed: int = 1) -> np.ndarray:
    """Return closes of a share at a few ticks that stands still in four sessions of five."""
    generator = np.random.default_rng(seed)
    ticks = [1]
    for _ in range(sessions - 1):
        moves = generator.random() < 0.2
        ticks.append(max(1, ticks[-1] + moves * generator.choice([-1, 1])))
    return np.array(ticks) / 100


def walk(sessions: int, seed: int = 2) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.round(20 * np.exp(np.cumsum(0.01 * generator.standard_normal(sessions))), 2)


def often_flat(sessions: int) -> np.ndarray:
    close = walk(sessions)
    for first in range(100, sessions - 20, 40):
        close[first : first + 9] = close[first - 1]
    return close


def flat_for_a_quarter(sessions: int) -> np.ndarray:
    close = walk(sessions)
    close[-60:] = close[-61]
    return close


ODD = {"thin": thin_penny, "often flat": often_flat, "flat at the end": flat_for_a_quarter}


def check_sound(forecast: pd.DataFrame, panel: Panel) -> None:
    """Check that every number is finite, every cone has a width, and no score is absurd."""
    check_forecast(forecast)
    assert np.isfinite(forecast.select_dtypes(float).to_numpy()).all()
    typical = np.abs(np.diff(np.log(panel["A"]["close"]))).max()
    assert (forecast["sigma"] > 0).all()
    assert (forecast["sigma"] / np.sqrt(forecast["step"])).max() < 5 * typical
    for share in COVERAGES:
        low, high = endpoints(forecast, share)
        assert (high - low).min() > 1e-5
    if interval_columns(0.5)[0] in forecast:
        ends = [forecast[name] for share in COVERAGES for name in interval_columns(share)]
        assert (ends[4] <= ends[2]).all() and (ends[2] <= ends[0]).all()
        assert (ends[1] <= ends[3]).all() and (ends[3] <= ends[5]).all()
    scores = score_fully(realise(forecast, panel))
    assert np.isfinite(scores["value"]).all()
    crps = scores.loc[scores["metric"] == "crps", "value"]
    assert crps.max() < typical


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_gives_a_cone_without_width_or_an_absurd_score(name, odd):
    panel = panel_of(A=of_closes(ODD[odd](900)))
    until, origins = panel.sessions()[600], panel.sessions()[600:]
    fitted = FittedCalibrated(BASELINES[name](5).fit(panel, until))
    for forecast in fitted.with_inner(panel, origins):
        check_sound(forecast, panel)


def test_a_volatility_that_was_fitted_on_a_still_price_has_the_floor():
    close = walk(700)
    close[:400] = close[400]
    panel = panel_of(A=of_closes(close))
    fitted = BASELINES["random_walk"](5).fit(panel, panel.sessions()[390])
    check_sound(fitted.forecast(panel, panel.sessions()[450:]), panel)


@pytest.mark.tensorflow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("scale", ["ewma", "har"])
@pytest.mark.parametrize("odd", ODD)
def test_no_network_gives_a_cone_without_width_or_an_absurd_score(odd, scale):
    panel = panel_of(A=of_closes(ODD[odd](700)))
    network = NetworkRecipe(
        VARIANTS["lstm"](units=4),
        window=WindowConfig(lookback=12, horizon=5),
        training=TrainingConfig(epochs=1, members=1, learning_rate=0.01),
        scale=scale,
    )
    until, origins = panel.sessions()[560], panel.sessions()[560:]
    for recipe in (network, Blend((network, BASELINES["har"](5)), (0.5, 0.5))):
        for forecast in FittedCalibrated(recipe.fit(panel, until)).with_inner(panel, origins):
            check_sound(forecast, panel)
