"""Metrics against scikit-learn, utilsforecast and loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulate import panel_of, simulate_bars
from sklearn.metrics import mean_pinball_loss

from lstmcli.evaluation import metrics
from lstmcli.features import garman_klass_variance
from lstmcli.forecasters.baselines import Ewma
from lstmcli.forecasters.calibrated import Calibrated
from lstmcli.frames import (
    COVERAGES,
    QUANTILE_COLUMNS,
    QUANTILES,
    cone_columns,
    endpoints,
    log_returns,
    of_recipe,
)
from lstmcli.trading import least_volatility

LEVELS = list(QUANTILE_COLUMNS)
H = 3


@pytest.fixture(scope="module")
def panel():
    return panel_of(A=simulate_bars(500, seed=1), B=simulate_bars(500, seed=2, sigma=0.02))


@pytest.fixture(scope="module")
def rows(panel) -> pd.DataFrame:
    """Forecasts of a recipe, as it is and with published intervals, and what came."""
    origins = panel.sessions()[400:]
    fitted = [recipe.fit(panel, origins[0]) for recipe in (Ewma(H), Calibrated(Ewma(H)))]
    forecasts = [each.forecast(panel, origins) for each in fitted]
    return metrics.realise(pd.concat(forecasts, ignore_index=True), panel)


def test_realised_is_the_return_between_the_two_sessions(rows, panel):
    assert (
        (rows["made_on"].groupby([rows["calibrated"], rows["ticker"], rows["step"]]).size())
        .eq([100 - step for _ in range(4) for step in (1, 2, 3)])
        .all()
    )
    row = rows.sample(1, random_state=0).iloc[0]
    bars = panel[row["ticker"]]
    returns = log_returns(bars).loc[row["made_on"] : row["target_on"]].iloc[1:]
    assert len(returns) == row["step"]
    assert row["realised"] == pytest.approx(returns.sum())
    assert row["variance"] == pytest.approx(garman_klass_variance(bars)[returns.index].sum())
    before = bars.loc[: row["made_on"], "close"].diff().abs().iloc[1:]
    assert row["naive"] == pytest.approx(before.mean())


def test_the_unit_of_losses_is_volatility_that_was_known_at_the_origin(rows, panel):
    row = rows[rows["step"] == 3].sample(1, random_state=1).iloc[0]
    known = panel[row["ticker"]].loc[: row["made_on"]]
    squares = 0.0
    weights = 0.0
    for value in log_returns(known).to_numpy()[1:]:
        squares, weights = 0.94 * squares + value**2, 0.94 * weights + 1
    assert row["unit"] == pytest.approx(np.sqrt(squares / weights * row["step"]))
    same = rows.groupby(["ticker", "made_on", "step"])["unit"].nunique()
    assert (same == 1).all()


def test_the_unit_of_losses_is_above_zero_from_the_first_session_on():
    bars = simulate_bars(60, seed=3)
    every, four = np.arange(60), np.full(60, 4)
    found = metrics.loss_unit(bars, every, four)
    assert found.shape == (60,)
    returns = log_returns(bars).to_numpy()
    assert found[0] == pytest.approx(2 * least_volatility(bars)[0])
    assert found[10] == pytest.approx(2 * np.sqrt(np.mean(returns[1:11] ** 2)))
    # Neither later sessions nor other rows change anything.
    np.testing.assert_array_equal(
        metrics.loss_unit(bars.iloc[:30], every[:30], four[:30]), found[:30]
    )
    for row in (5, 40):
        assert metrics.loss_unit(bars, every[row : row + 1], four[:1])[0] == found[row]
    # A price in ticks of 1 that hardly ever moves.
    close = np.where(np.arange(60) == 1, 101.0, 100.0)
    still = bars.assign(open=close, high=close, low=close, close=close)
    assert (metrics.loss_unit(still, every, np.ones(60, int))[2:] >= 0.5 / 101).all()


def test_a_row_across_a_hole_has_no_outcome(panel):
    bars = panel["A"].drop(panel["A"].index[451])
    holed = panel_of(A=bars)
    forecast = Ewma(H).fit(holed, bars.index[440]).forecast(holed, bars.index[[450]])
    assert metrics.realise(forecast, holed).empty


def test_pinball_is_scikit_learns(rows):
    losses = metrics.pinball(rows)
    for level, column in zip(QUANTILES, LEVELS, strict=True):
        expected = mean_pinball_loss(rows["realised"], rows[column], alpha=level)
        assert losses[column].mean() == pytest.approx(expected, rel=1e-12)


def test_tails_are_the_losses_at_the_ends_of_the_widest_interval(rows):
    low, high = endpoints(rows, 0.95)
    losses = [
        mean_pinball_loss([outcome], [end], alpha=level)
        for level, ends in ((0.025, low), (0.975, high))
        for outcome, end in zip(rows["realised"], ends, strict=True)
    ]
    below, above = losses[: len(rows)], losses[len(rows) :]
    np.testing.assert_allclose(metrics.tails(rows), np.add(below, above), rtol=1e-9)
    raw = rows[~rows["calibrated"]]
    of_quantiles = metrics.pinball(raw)[["q025", "q975"]].sum(axis=1)
    np.testing.assert_allclose(metrics.tails(raw), of_quantiles, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in its docstrings
def test_crps_and_coverage_are_utilsforecasts(rows):
    from utilsforecast.losses import coverage, scaled_crps

    own = of_recipe(rows, "ewma", calibrated=False).reset_index(drop=True)
    wide = own.rename(columns={"ticker": "unique_id", "realised": "y"}).assign(ds=range(len(own)))
    levels = [column for column in LEVELS if column not in ("q025", "q975")]
    # It divides by the mean absolute outcome, and we do not.
    scaled = scaled_crps(wide, models={"m": levels}, quantiles=np.arange(1, 20) / 20).set_index(
        "unique_id"
    )["m"]
    low, high = cone_columns(0.8)
    cone = wide.rename(columns={low: "m-lo-80", high: "m-hi-80"})
    inside = coverage(cone, models=["m"], level=80).set_index("unique_id")["m"]
    for ticker, of in own.groupby("ticker"):
        size = of["realised"].abs().mean()
        assert metrics.crps(of).mean() == pytest.approx(scaled[ticker] * size, rel=1e-6)
        assert metrics.covered(of, 0.8).mean() == pytest.approx(inside[ticker])


def test_crps_of_many_quantiles_is_near_that_of_the_distribution():
    """A standard normal forecast: CRPS in closed form (Gneiting, Raftery 2007, eq. 21)."""
    from scipy.stats import norm

    came = np.linspace(-2, 2, 9)
    frame = pd.DataFrame(np.tile(norm.ppf(QUANTILES), (9, 1)), columns=LEVELS)
    closed = came * (2 * norm.cdf(came) - 1) + 2 * norm.pdf(came) - 1 / np.sqrt(np.pi)
    # Nineteen intervals of 0.05 leave half of one out at either end.
    found = 19 / 20 * metrics.crps(frame.assign(realised=came))
    np.testing.assert_allclose(found, closed, atol=0.005)


def test_published_endpoints_are_judged_where_there_are_some(rows):
    calibrated = rows["calibrated"]
    low, high = endpoints(rows, 0.95)
    assert (low[calibrated] == rows.loc[calibrated, "lo95"]).all()
    assert (high[~calibrated] == rows.loc[~calibrated, "q975"]).all()
    # Of 95 % there is one interval. That of 80 % is not the one between two quantiles.
    assert (rows.loc[calibrated, "lo95"] == rows.loc[calibrated, "q025"]).all()
    assert not (rows.loc[calibrated, "lo80"] == rows.loc[calibrated, "q10"]).all()


def test_winkler_is_width_and_the_price_of_a_miss():
    frame = pd.DataFrame(np.tile(np.linspace(-1, 1, 21), (3, 1)), columns=LEVELS)
    low, high = cone_columns(0.5)
    frame[low], frame[high] = -0.3, 0.5
    frame["realised"] = [0.0, 0.7, -1.3]
    expected = [0.8, 0.8 + 4 * 0.2, 0.8 + 4 * 1.0]
    np.testing.assert_allclose(metrics.winkler(frame, 0.5), expected)


def test_qlike_is_zero_where_the_variance_is_known_and_dearer_when_it_is_too_low():
    frame = pd.DataFrame({"variance": [4e-4] * 3, "sigma": [0.02, 0.01, 0.04]})
    known, low, high = metrics.qlike(frame)
    assert known == pytest.approx(0)
    assert low == pytest.approx(4 - np.log(4) - 1)
    assert low > high > 0


def test_scores_are_those_of_a_loop(rows):
    keys = ["recipe", "calibrated", "ticker", "step", "metric"]
    scores = metrics.score_fully(rows).set_index(keys)
    own = rows.query("recipe == 'ewma' and not calibrated and ticker == 'B' and step == 2")
    errors = own["realised"] - own["q50"]
    miss = own["last_close"] * (np.exp(own["q50"]) - np.exp(own["realised"]))
    expected = {
        "crps": metrics.crps(own).mean(),
        "tails": metrics.tails(own).mean(),
        "mae": errors.abs().mean(),
        "rmse": np.sqrt((errors**2).mean()),
        "mase": (miss.abs() / own["naive"]).mean(),
        "direction": (np.sign(own["q50"]) == np.sign(own["realised"])).mean(),
        "always_up": (own["realised"] > 0).mean(),
        "coverage80": ((own["q10"] <= own["realised"]) & (own["realised"] <= own["q90"])).mean(),
        "width50": (own["q75"] - own["q25"]).mean(),
        "pinball_q05": mean_pinball_loss(own["realised"], own["q05"], alpha=0.05),
        "qlike": metrics.qlike(own).mean(),
        "winkler95": metrics.winkler(own, 0.95).mean(),
    }
    for metric, value in expected.items():
        found = scores.loc[("ewma", False, "B", 2, metric)]
        assert found["value"] == pytest.approx(value), metric
        assert found["n"] == len(own)


def test_skill_is_macro_averaged_over_tickers(rows):
    wider = 1 + 0.2 * rows["calibrated"] * (rows["ticker"] == "A")
    rows = rows.assign(**{name: rows[name] * wider for name in LEVELS})
    scores = metrics.means_of(rows, metrics.row_scores(rows))
    found = metrics.skill(scores, "ewma").set_index(["recipe", "calibrated", "step"])["value"]
    assert (found["ewma", False] == 0).all()
    crps = {
        (calibrated, ticker): metrics.crps(of[of["step"] == 1]).mean()
        for (calibrated, ticker), of in rows.groupby(["calibrated", "ticker"])
    }
    mean = {kind: (crps[kind, "A"] + crps[kind, "B"]) / 2 for kind in (False, True)}
    assert found["ewma", True, 1] == pytest.approx(1 - mean[True] / mean[False])
    assert found["ewma", True, 1] != 0


def test_a_summary_has_a_row_for_what_is_calibrated_and_one_for_what_is_not(rows):
    found = metrics.summary(metrics.means_of(rows, metrics.row_scores(rows)))
    assert list(found.index) == [("ewma", False), ("ewma", True)]
    assert found.index.names == ["recipe", "calibrated"]
    own = of_recipe(rows, "ewma", calibrated=True)
    means = [metrics.crps(of).mean() for _, of in own.groupby(["ticker", "step"])]
    assert found.loc[("ewma", True), "crps"] == pytest.approx(np.mean(means))


def test_rank_correlation_needs_twenty_tickers():
    generator = np.random.default_rng(0)
    days = np.repeat(pd.date_range("2020-01-01", periods=50), 25)
    frame = pd.DataFrame(np.tile(np.linspace(-1, 1, 21), (1250, 1)), columns=LEVELS).assign(
        recipe="x", calibrated=False,
        ticker=[f"T{n}" for n in range(25)] * 50, made_on=days, step=1,
        q50=generator.standard_normal(1250), last_close=1.0, naive=1.0, sigma=0.1, variance=0.01,
    )  # fmt: skip
    frame["realised"] = frame["q50"] ** 3
    scores = metrics.score_fully(frame)
    rank = scores[scores["metric"] == "rankic"].iloc[0]
    assert (rank["ticker"], rank["value"], rank["n"]) == ("*", pytest.approx(1), 50)
    few = frame[frame["ticker"] < "T2"]
    assert "rankic" not in set(metrics.score_fully(few)["metric"])


def test_pit_is_uniform_where_the_forecast_is_true():
    from scipy.stats import kstest, norm

    came = np.random.default_rng(0).standard_normal(4000)
    frame = pd.DataFrame(np.tile(norm.ppf(QUANTILES), (4000, 1)), columns=LEVELS)
    inside = metrics.pit(frame.assign(realised=came))
    # Beyond the outermost quantiles all that is known is that it lies there.
    body = inside[(inside > QUANTILES[0]) & (inside < QUANTILES[-1])]
    uniform = (body - QUANTILES[0]) / (QUANTILES[-1] - QUANTILES[0])
    assert kstest(uniform, "uniform").pvalue > 0.01
    assert kstest(uniform**1.2, "uniform").pvalue < 0.01
    edge = metrics.pit(frame.iloc[:2].assign(realised=[-9.0, 9.0]))
    np.testing.assert_allclose(edge, [0.0125, 0.9875])


def test_rolling_coverage_counts_a_date_once(rows):
    own = rows.query("not calibrated and step == 1")
    found = metrics.rolling_coverage(own, COVERAGES[1], sessions=20)
    last = sorted(own["made_on"].unique())[-20:]
    assert found.iloc[-1] == pytest.approx(
        metrics.covered(own[own["made_on"].isin(last)], 0.8).mean()
    )
    assert len(found) == own["made_on"].nunique() - 19
