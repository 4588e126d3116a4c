"""Baselines: against arch, scikit-learn, loops and simulated truth."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import reference
from simulate import panel_of, simulate_bars

from lstmcli.errors import NoDataError
from lstmcli.features import ewma_volatility, garman_klass_variance
from lstmcli.forecasters.base_quantiles import base_quantiles
from lstmcli.forecasters.baselines import (
    BASELINES,
    LADDER,
    Drift,
    Ewma,
    Garch,
    Gjr,
    GradientBoosting,
    Har,
    HarRidge,
    Historical,
    RandomWalk,
    learned,
)
from lstmcli.forecasters.filtered_simulation import filtered_simulation
from lstmcli.forecasters.rolling_quantiles import rolling_quantiles
from lstmcli.forecasters.volatility.garch import PERCENT, fit_garch
from lstmcli.forecasters.volatility.har import FittedHarVolatility, HarVolatility
from lstmcli.forecasters.volatility.regressors import (
    har_regressors,
    report_regressors,
    unusual,
)
from lstmcli.frames import (
    BAR_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
    cumulative_returns,
    log_returns,
)

pytestmark = pytest.mark.usefixtures("one_thread")

LEVELS = list(QUANTILE_COLUMNS)
OMEGA, ALPHA, BETA, NU = 2e-6, 0.08, 0.90, 6.0


def garch_returns(sessions: int, seed: int, *, gamma: float = 0.0) -> np.ndarray:
    """Return log returns of a process with the parameters above, mean 0.0004.

    The persistence does not depend on γ: what falls add, α is without.
    """
    generator = np.random.default_rng(seed)
    variance, returns = 1e-4, np.empty(sessions)
    for t in range(sessions):
        shock = generator.standard_t(NU) * np.sqrt((NU - 2) / NU * variance)
        returns[t] = 0.0004 + shock
        alpha = ALPHA - gamma / 2 + gamma * (shock < 0)
        variance = OMEGA + alpha * shock**2 + BETA * variance
    return returns


@cache
def garch_bars(seed: int = 1, sessions: int = 3000, *, gamma: float = 0.0) -> pd.DataFrame:
    returns = garch_returns(sessions, seed, gamma=gamma)
    return simulate_bars(sessions, returns=returns, seed=seed)


@pytest.mark.parametrize("memory", [32, 50, 150])
@pytest.mark.parametrize(
    "rows", [[399], [60, 199, 200, 201, 399], list(range(45, 400))], ids=["one", "some", "every"]
)
def test_rolling_quantiles_are_numpys_of_each_window(rows: list[int], memory: int):
    generator = np.random.default_rng(0)
    values = generator.standard_normal((400, 3))
    values[:30] = np.nan
    values[200:210, 0] = np.nan
    values[:, 2] = np.round(values[:, 2], 1)  # ties
    found = rolling_quantiles(values, np.array(rows), memory=memory)
    for n, row in enumerate(rows):
        for h in range(3):
            window = values[max(row - memory + 1, 0) : row + 1, h]
            expected = np.quantile(window[np.isfinite(window)], QUANTILES)
            np.testing.assert_allclose(found[n, h], expected, rtol=1e-12, atol=1e-15)


def test_rolling_quantiles_of_many_columns_are_those_of_each_alone():
    values = np.random.default_rng(1).standard_normal((200, 150))
    rows = np.arange(60, 200)
    found = rolling_quantiles(values, rows, memory=50)
    for h in (0, 63, 64, 149):
        alone = rolling_quantiles(values[:, h : h + 1], rows, memory=50)
        np.testing.assert_array_equal(found[:, h], alone[:, 0])


@pytest.mark.parametrize("memory", [400, 2500])
def test_a_pool_lends_a_ticker_its_quantiles_by_what_the_ticker_has_seen(memory: int):
    panel = panel_of(A=garch_bars(1), B=garch_bars(2))
    origins = panel.sessions()[[500, 2999]]
    scales = {ticker: np.full((3000, 2), 0.01) for ticker in panel}
    apart = [
        filtered_simulation("x", panel.only([name]), origins, {name: scale}, memory=memory)
        for name, scale in scales.items()
    ]
    alone = pd.concat(apart, ignore_index=True)
    pooled = filtered_simulation("x", panel, origins, scales, memory=memory)
    for ticker in panel:
        for step, seen in ((1, min(500, memory)), (2, min(499, memory))):
            at = (alone["made_on"] == origins[0]) & (alone["step"] == step)
            own = alone.loc[at & (alone["ticker"] == ticker), LEVELS].to_numpy()[0]
            mean = alone.loc[at, LEVELS].to_numpy().mean(axis=0)
            share = (seen / step) / (seen / step + 300)
            found = pooled.loc[at & (pooled["ticker"] == ticker), LEVELS].to_numpy()[0]
            np.testing.assert_allclose(found, share * own + (1 - share) * mean, rtol=1e-6)


@pytest.mark.parametrize(("count", "step"), [(600, 1), (800, 20), (60_000, 20)])
def test_few_targets_borrow_a_normal_shape_as_wide_as_they_are(count: int, step: int):
    from scipy.stats import norm

    scaled = 0.7 * np.random.default_rng(1).standard_t(3, count) + 0.3
    found = base_quantiles(scaled, step)
    share = count / step / (count / step + 300)
    own = np.quantile(scaled, QUANTILES)
    lower, upper = np.quantile(scaled, [0.15, 0.85])
    spread = (upper - lower) / (norm.ppf(0.85) - norm.ppf(0.15))
    for level, z, quantile in zip(QUANTILES, own, found, strict=True):
        assert quantile == pytest.approx(share * z + (1 - share) * spread * norm.ppf(level))
    # The median lies towards zero, the cone's middle is as wide, its ends as the share says.
    assert found[QUANTILES.index(0.5)] == pytest.approx(share * np.median(scaled))
    assert np.all(np.diff(found) > 0)


def test_targets_that_mostly_do_not_move_stay_so():
    scaled = np.where(np.arange(500) % 20 == 0, 1.0, 0.0)
    found = base_quantiles(scaled, 5)
    assert (found[QUANTILES.index(0.15) : QUANTILES.index(0.85) + 1] == 0).all()


def test_drift_is_the_mean_of_its_training_sessions():
    bars = garch_bars()
    panel, until = panel_of(A=bars), bars.index[1999]
    rows = Drift(3).fit(panel, until).forecast(panel, bars.index[-1:])
    mean = log_returns(bars).loc[:until].dropna().mean()
    np.testing.assert_allclose(rows["q50"], mean * np.array([1, 2, 3]), rtol=1e-9)


def test_historical_is_the_returns_that_came():
    bars = garch_bars()
    panel, t, h = panel_of(A=bars), len(bars) - 1, 3
    rows = Historical(h).fit(panel, bars.index[1999]).forecast(panel, bars.index[-1:])
    returns = log_returns(bars).to_numpy()
    came = [returns[s + 1 : s + h + 1].sum() for s in range(t - h - 999, t - h + 1)]
    np.testing.assert_allclose(rows[LEVELS].iloc[h - 1], np.quantile(came, QUANTILES), rtol=1e-9)
    assert rows["sigma"].iloc[h - 1] == pytest.approx(np.sqrt(np.mean(np.square(came))), rel=1e-6)


def test_garch_finds_the_process_that_made_the_returns():
    found = fit_garch(log_returns(garch_bars(3, 8000)).dropna())
    assert found is not None
    assert found.alpha == pytest.approx(ALPHA, abs=0.02)
    assert found.beta == pytest.approx(BETA, abs=0.03)
    assert found.nu == pytest.approx(NU, abs=1)
    assert found.variance == pytest.approx(OMEGA / (1 - ALPHA - BETA), rel=0.3)


def test_gjr_finds_what_a_fall_adds():
    found = fit_garch(log_returns(garch_bars(3, 8000, gamma=0.1)).dropna(), falls=True)
    assert found is not None
    assert found.alpha == pytest.approx(ALPHA - 0.05, abs=0.02)
    assert found.gamma == pytest.approx(0.1, abs=0.03)
    assert found.beta == pytest.approx(BETA, abs=0.03)
    assert found.variance == pytest.approx(OMEGA / (1 - ALPHA - BETA), rel=0.3)


def fitted_by_arch(returns: pd.Series, *, falls: bool):
    from arch import arch_model

    percent = PERCENT * returns
    model = arch_model(percent, mean="Constant", p=1, o=int(falls), q=1, dist="t", rescale=False)
    return model.fit(disp="off")


both_fits = pytest.mark.parametrize("falls", [False, True])


@both_fits
def test_garch_volatility_is_the_one_that_arch_forecasts(falls: bool):
    returns = log_returns(garch_bars(gamma=0.1)).dropna()
    found = fit_garch(returns, falls=falls)
    assert found is not None
    fitted = fitted_by_arch(returns, falls=falls)
    steps = fitted.forecast(horizon=10, start=returns.index[1500], reindex=False).variance
    expected = np.sqrt(steps.to_numpy().cumsum(axis=1)) / PERCENT
    np.testing.assert_allclose(found.scale(returns.to_numpy(), 10)[1500:], expected, rtol=1e-4)


@both_fits
def test_garch_volatility_is_that_of_sums_that_arch_simulates(falls: bool):
    returns = log_returns(garch_bars(gamma=0.1)).dropna()
    found = fit_garch(returns, falls=falls)
    assert found is not None
    fitted = fitted_by_arch(returns, falls=falls)
    paths = fitted.forecast(
        horizon=20,
        method="simulation",
        simulations=40_000,
        reindex=False,
        random_state=np.random.RandomState(1),
    ).simulations.values[0]
    simulated = paths.cumsum(axis=1).std(axis=0) / PERCENT
    np.testing.assert_allclose(found.scale(returns.to_numpy(), 20)[-1], simulated, rtol=0.02)


def test_gjr_that_does_not_converge_falls_back_to_garch_then_to_ewma(monkeypatch):
    """A fit with falls fails for B and C, the one without for C."""
    panel = panel_of(A=garch_bars(1, 600), B=garch_bars(2, 600), C=garch_bars(3, 600))
    failing = {True: (1, 2), False: (2,)}
    known = [log_returns(panel[ticker]).iloc[1] for ticker in panel]

    def fit(returns: pd.Series, *, falls: bool):
        failed = known.index(returns.iloc[0]) in failing[falls]
        return None if failed else fit_garch(returns, falls=falls)

    monkeypatch.setattr("lstmcli.forecasters.baselines.garch.fit_garch", fit)
    until = panel.sessions()[500]
    fitted = Gjr(3).fit(panel, until)
    assert fitted.fallbacks == {"B": "garch", "C": "ewma"}
    assert fitted.parameters["A"].gamma != 0
    assert fitted.parameters["B"] == Garch(3).fit(panel, until).parameters["B"]
    assert "C" not in fitted.parameters
    rows = fitted.forecast(panel, panel.sessions()[-1:])
    assert set(rows["recipe"]) == {"gjr"}
    of_ewma = Ewma(3).fit(panel, until).forecast(panel, panel.sessions()[-1:])
    for table in (rows, of_ewma):
        assert (table["ticker"] == "C").sum() == 3
    np.testing.assert_array_equal(
        *(table.loc[table["ticker"] == "C", "sigma"] for table in (rows, of_ewma))
    )


def test_the_ladder_climbs_through_baselines_in_the_order_of_the_table():
    assert [name for name in BASELINES if name in LADDER] == list(LADDER)


@pytest.mark.filterwarnings("error")
def test_garch_that_does_not_converge_falls_back_to_ewma_and_says_for_whom():
    still = simulate_bars(600, returns=np.zeros(600))
    still = still.assign(**dict.fromkeys(("open", "high", "low", "close"), 100.0))[
        list(BAR_COLUMNS)
    ]
    panel = panel_of(A=simulate_bars(600), STILL=still)
    fitted = Garch(3).fit(panel, panel.sessions()[500])
    assert fitted.fallbacks == {"STILL": "ewma"}
    rows = fitted.forecast(panel, panel.sessions()[-1:])
    assert (rows["ticker"] == "STILL").sum() == 3
    assert np.isfinite(rows[LEVELS]).all(axis=None)


def test_har_regressors_are_what_loops_compute():
    bars = garch_bars(5, 1300)
    rows = bars.reset_index().to_dict("records")
    found = har_regressors(panel_of(A=bars))["A"].iloc[-1]
    variance = [v**2 for v in reference.garman_klass(rows)]
    returns, sigma = reference.log_return(rows), reference.ewma_volatility(rows)
    level = np.log(np.mean(variance[-1000:]))
    assert found["level"] == pytest.approx(level)
    for span in (1, 5, 22, 66):
        assert found[f"variance_{span}"] == pytest.approx(np.log(np.mean(variance[-span:])) - level)
    week = sum(returns[-5:])
    assert found["fall_1"] == pytest.approx(min(returns[-1], 0) / sigma[-1])
    assert found["fall_5"] == pytest.approx(min(week, 0) / (sigma[-1] * np.sqrt(5)))
    assert found["size_1"] == pytest.approx(abs(returns[-1]) / sigma[-1])
    assert found["market_variance_5"] == pytest.approx(found["variance_5"])


def test_har_is_least_squares_on_its_regressors():
    from sklearn.linear_model import LinearRegression

    panel = panel_of(A=garch_bars(1), B=garch_bars(2))
    until, h = panel.sessions()[2499], 5
    fitted = HarVolatility(h).fit(panel, until)
    x, y = [], []
    for ticker, columns in har_regressors(panel.until(until)).items():
        variance = garman_klass_variance(panel[ticker].loc[:until]).to_numpy()
        for t in range(len(columns) - h):
            if np.isfinite(columns.iloc[t]).all():
                x.append(columns.iloc[t].to_numpy())
                y.append(np.log(variance[t + 1 : t + h + 1].mean()) - columns["level"].iloc[t])
    x, y = np.array(x), np.array(y)
    oracle = LinearRegression().fit(x, y)
    smearing = np.mean(np.exp(y - oracle.predict(x)))
    last = har_regressors(panel)["A"].iloc[-1]
    predicted = oracle.predict(last.to_numpy()[None])[0] + last["level"]
    expected = np.sqrt(np.exp(predicted) * smearing * h)
    assert fitted.sigma(panel)["A"][-1, h - 1] == pytest.approx(expected, rel=1e-6)


def test_har_volatility_survives_json():
    panel = panel_of(A=garch_bars(1))
    fitted = HarVolatility(4).fit(panel, panel.sessions()[2000])
    again = FittedHarVolatility.model_validate_json(fitted.model_dump_json())
    np.testing.assert_array_equal(again.sigma(panel)["A"], fitted.sigma(panel)["A"])


@pytest.mark.parametrize("recipe", [Har(1), HarRidge(1), GradientBoosting(1)])
def test_regressions_come_near_the_volatility_that_was_simulated(recipe):
    """Calm and wild spells of thirty sessions: who reads ranges follows sooner than EWMA."""
    generator = np.random.default_rng(4)
    bars = {}
    for number in range(4):
        truth = np.repeat(generator.choice([0.006, 0.025], 60), 30)
        returns = truth * generator.standard_normal(len(truth))
        bars[f"T{number}"] = simulate_bars(len(truth), returns=returns, seed=number)
    panel = panel_of(**bars)
    days = panel.sessions()
    rows = recipe.fit(panel, days[1199]).forecast(panel, days[1200:-1])
    last = rows[rows["ticker"] == "T3"]["sigma"].to_numpy()
    # The volatility of session t + 1, of which session t knows the spell but for its first day.
    log_error = np.log(last / truth[1201:])
    of_ewma = np.log(ewma_volatility(bars["T3"]).to_numpy()[1200:-1] / truth[1201:])
    assert np.mean(log_error**2) < np.mean(of_ewma**2)


class Memory:
    """A regressor that fails when it is asked for a row that it was fitted on."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.seen = {row.tobytes() for row in x}
        self.outputs = y.shape[1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        assert not self.seen & {row.tobytes() for row in x}
        return np.zeros((len(x), self.outputs))


def test_a_session_of_the_training_is_predicted_by_a_fit_that_has_not_seen_it():
    panel = panel_of(A=garch_bars(1, 1500))
    until, h = panel.sessions()[1399], 3
    fitted = learned._fit("memory", h, (1, 2, 3), Memory, panel, until)
    fitted.sigma(panel)
    # Nor the sessions whose targets reach into its own, h on either side of a block.
    whole = len(fitted.regressors[-1].seen)
    first, second, *_ = (whole - len(regressor.seen) for regressor in fitted.regressors)
    assert first == whole // 4 + (whole % 4 > 0) + h
    assert second == whole // 4 + (whole % 4 > 1) + 2 * h


def test_the_earnings_cycle_is_read_off_the_bars():
    """A report every 63 sessions makes the volatility of its day six times as large."""
    sessions = 2000
    generator = np.random.default_rng(6)
    bars = {}
    for number in range(3):
        volatility = np.full(sessions, 0.01)
        volatility[np.arange(10 + 7 * number, sessions, 63)] = 0.06
        returns = volatility * generator.standard_normal(sessions)
        rows = simulate_bars(sessions, returns=returns, seed=number)
        busy = np.where(volatility > 0.01, 4.0, 1.0)
        bars[f"T{number}"] = rows.assign(volume=rows["volume"] * busy)
    panel = panel_of(**bars)
    until = panel.sessions()[1499]
    blind, aware = (HarVolatility(1, earnings=flag).fit(panel, until) for flag in (False, True))
    days = np.arange(10 + 63 * 24, sessions, 63)  # reports after the fit, of T0

    def told(fitted: FittedHarVolatility) -> float:
        sigma = fitted.sigma(panel)["T0"][:, 0]
        return float(sigma[days - 1].mean() / sigma[1500:].mean())

    assert told(blind) == pytest.approx(1, abs=0.15)
    assert told(aware) > told(blind) + 0.15


def test_report_regressors_read_no_session_after_the_origin():
    bars = garch_bars(1, 700)
    cut = report_regressors(unusual(bars.iloc[:600]), 20)
    pd.testing.assert_frame_equal(cut, report_regressors(unusual(bars), 20).iloc[:600])


def test_regressions_say_how_many_sessions_they_need():
    short = panel_of(A=garch_bars(1).iloc[-250:])
    with pytest.raises(NoDataError, match="Expected at least 1"):
        HarRidge(20).fit(short, short.sessions()[-1])


@pytest.mark.parametrize("recipe", [RandomWalk, Drift, Historical, Ewma, Garch, Gjr])
def test_a_ticker_with_a_short_history_costs_the_others_nothing(recipe):
    old = garch_bars(1, 700)
    panel = panel_of(OLD=old, YOUNG=garch_bars(2, 700).iloc[-60:])
    days = panel.sessions()
    alone = recipe(5).fit(panel.only(["OLD"]), days[600]).forecast(panel.only(["OLD"]), days[650:])
    rows = recipe(5).fit(panel, days[600]).forecast(panel, days[650:])
    pd.testing.assert_frame_equal(rows, alone)
    with pytest.raises(NoDataError, match="YOUNG: Expected at least 10"):
        recipe(5).fit(panel.only(["YOUNG"]), days[-1])


@pytest.mark.parametrize("recipe", [Har, HarRidge, GradientBoosting, Garch])
def test_errors_of_the_memory_are_as_large_as_those_to_come(recipe):
    """Quantiles shaped by errors of the training sessions cover later ones."""
    panel = panel_of(**{f"T{n}": garch_bars(n) for n in range(1, 5)})
    days = panel.sessions()
    rows = recipe(1).fit(panel, days[1999]).forecast(panel, days[2000:-1])
    came = np.concatenate([cumulative_returns(panel[t], 1)[2000:-1, 0] for t in panel])
    inside = (rows["q10"].to_numpy() <= came) & (came <= rows["q90"].to_numpy())
    assert inside.mean() == pytest.approx(0.8, abs=0.025)
