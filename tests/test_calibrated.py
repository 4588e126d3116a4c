"""Calibration: against slow oracles, and whether intervals cover what they say."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.stats import t as student
from simulate import panel_of, simulate_bars

import lstmcli
from lstmcli.evaluation.metrics import covered, crps, realise
from lstmcli.evaluation.simulation import perturbed_panel
from lstmcli.features import ewma_volatility
from lstmcli.forecasters import calibrated, calibration, corrections, intervals
from lstmcli.forecasters import order_statistics as order
from lstmcli.forecasters.base import forecast_rows, join_forecasts
from lstmcli.forecasters.baselines import Ewma
from lstmcli.forecasters.baselines.past import FittedEwma
from lstmcli.forecasters.calibrated import Calibrated, FittedCalibrated
from lstmcli.forecasters.calibration import calibrate
from lstmcli.frames import (
    COVERAGES,
    FORECAST_COLUMNS,
    INTERVAL_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
    check_forecast,
    cone_columns,
    cumulative_returns,
    interval_columns,
)
from lstmcli.panel import Panel
from lstmcli.sources.csv import CsvSource
from lstmcli.windows import target_sessions

LEVELS = list(QUANTILE_COLUMNS)
NUMBERS = [*LEVELS, *INTERVAL_COLUMNS, "sigma"]


@dataclass(frozen=True)
class Fake:
    """A lopsided Student forecast on EWMA volatility, `factor` times as wide as it should be."""

    horizon: int
    factor: float = 1.0
    learns_from: pd.Timestamp | None = None
    fit_end: pd.Timestamp | None = None
    name: str = "fake"

    def fit(self, panel: Panel, until: pd.Timestamp) -> Fake:
        start = self.learns_from or panel.sessions()[30]
        return Fake(self.horizon, self.factor, start, until)

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        shape = student.ppf(QUANTILES, 4) + 0.2
        parts = []
        for ticker, bars in panel.items():
            sigma = ewma_volatility(bars)
            at = bars.index[sigma.notna().to_numpy()].intersection(origins)
            scale = sigma.loc[at].to_numpy()[:, None] * np.arange(1, self.horizon + 1) ** 0.5
            scale = scale * self.factor
            parts.append(
                forecast_rows(
                    self.name,
                    ticker,
                    made_on=at,
                    target_on=target_sessions(panel, ticker, at, self.horizon),
                    last_close=bars.loc[at, "close"].to_numpy(),
                    sigma=scale,
                    quantiles=scale[:, :, None] * shape,
                    least=np.zeros(len(at)),
                )
            )
        return join_forecasts(parts)


def garch_bars(sessions: int, *, seed: int) -> pd.DataFrame:
    """Return bars whose volatility comes and goes, with Student errors."""
    generator = np.random.default_rng(seed)
    shocks = generator.standard_t(6, sessions) / np.sqrt(6 / 4)
    variance, returns = 1e-4, np.empty(sessions)
    for t, shock in enumerate(shocks):
        returns[t] = np.sqrt(variance) * shock
        variance = 2e-6 + 0.08 * returns[t] ** 2 + 0.9 * variance
    return simulate_bars(sessions, seed=seed, returns=returns)


@cache
def panel() -> Panel:
    """Return three tickers: one has holes, one begins later."""
    bars = {name: garch_bars(1250, seed=seed) for seed, name in enumerate("ABC")}
    bars["B"] = bars["B"].drop(bars["B"].index[[400, 401, 900, 1215]])
    bars["C"] = bars["C"].iloc[350:]
    return panel_of(**bars)


H = 7
"""One step whose endpoints start from the raw quantiles, among others."""

DAYS = panel().sessions()
ORIGINS = DAYS[[200, 640, 641, 643, 1100, 1248, 1249]]


@cache
def fitted() -> FittedCalibrated:
    return Calibrated(Fake(H)).fit(panel(), DAYS[500])


@cache
def forecast() -> pd.DataFrame:
    return fitted().forecast(panel(), ORIGINS)


@cache
def history() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the inner and the calibrated forecast of every session."""
    return fitted().inner.forecast(panel(), DAYS), fitted().forecast(panel(), DAYS)


def with_outcomes(rows: pd.DataFrame, of: Panel) -> pd.DataFrame:
    """Return the rows with `outcome`, NaN across a hole or where none has come."""
    parts = []
    for ticker, each in rows.groupby("ticker", sort=False):
        bars, horizon = of[ticker], each["step"].max()
        came = pd.DataFrame(
            cumulative_returns(bars, horizon), bars.index, range(1, horizon + 1)
        ).stack()
        dated = pd.DataFrame(
            {h: pd.Series(bars.index, bars.index).shift(-h) for h in range(1, horizon + 1)}
        ).stack()
        keys = pd.MultiIndex.from_frame(each[["made_on", "step"]])
        sound = dated.reindex(keys).to_numpy() == each["target_on"].to_numpy()
        parts.append(each.assign(outcome=np.where(sound, came.reindex(keys), np.nan)))
    return pd.concat(parts)


def coverage(rows: pd.DataFrame, columns: tuple[str, str]) -> float:
    known = rows.dropna(subset="outcome")
    return known["outcome"].between(known[columns[0]], known[columns[1]]).mean()


def test_a_calibrated_forecast_has_its_columns():
    rows = forecast()
    assert tuple(rows.columns) == (*FORECAST_COLUMNS, *INTERVAL_COLUMNS)
    assert INTERVAL_COLUMNS == ("lo50", "hi50", "lo80", "hi80", "lo95", "hi95")
    check_forecast(rows)
    assert set(rows["recipe"]) == {"fake"} == {fitted().name, Calibrated(Fake(H)).name}
    assert rows["calibrated"].all() and rows["calibrated"].dtype == bool
    raw, _ = fitted().with_inner(panel(), rows["made_on"].unique())
    assert not raw["calibrated"].any() and raw["calibrated"].dtype == bool
    assert (fitted().fit_end, fitted().learns_from) == (DAYS[500], DAYS[30])
    # B has no bar on session 1215 and C none before 350; nobody else is left out.
    assert rows.groupby("ticker").size().to_dict() == {"A": 7 * H, "B": 7 * H, "C": 6 * H}
    nobody = fitted().forecast(panel(), DAYS[:0])
    assert tuple(nobody.columns) == tuple(rows.columns) and not len(nobody)
    assert nobody["calibrated"].dtype == bool


def test_two_modules_alone_know_the_name_of_a_calibrated_recipe():
    """One writes it for users, one for the files of 0.1; the others have two columns.

    The glossary explains it.
    """
    package = Path(lstmcli.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "+calibrated" in path.read_text("utf-8") and path.name != "glossary.py"
    }
    assert found == {"report/wording.py", "store/recipe_names.py"}


def test_check_forecast_refuses_intervals_that_do_not_nest():
    for column, value in [("lo50", -9.0), ("hi95", 0.0), ("lo80", np.nan)]:
        with pytest.raises(ValueError, match="intervals"):
            check_forecast(forecast().assign(**{column: value}))


def labels_of(step: int) -> list[dict]:
    """Return the labels of one step that the history brings, as the slow oracle takes them."""
    inner = history()[0]
    rows = with_outcomes(inner[(inner["made_on"] >= DAYS[30]) & (inner["step"] == step)], panel())
    return [
        {
            "ticker": row["ticker"],
            "arrived": row["target_on"].date(),
            "outcome": row["outcome"],
            "quantiles": [row[name] for name in LEVELS],
        }
        for row in rows.dropna(subset="outcome").to_dict("records")
    ]


@pytest.mark.parametrize("memory", [2500, 400])
def test_quantiles_are_those_of_the_slow_oracle(memory: int, monkeypatch: pytest.MonkeyPatch):
    inner, rows = history()
    if memory == corrections.MEMORY:
        rows = rows[rows["made_on"].isin(ORIGINS)]
    else:
        monkeypatch.setattr(corrections, "MEMORY", memory)
        rows = fitted().forecast(panel(), ORIGINS)
    keys = ["ticker", "made_on", "step"]
    inner = inner.set_index(keys)
    moved = 0
    for step in (1, 5, H):
        labels = labels_of(step)
        asked = rows[(rows["step"] == step) & rows["made_on"].isin(ORIGINS)]
        for row in asked.to_dict("records"):
            raw = inner.loc[tuple(row[key] for key in keys)]
            expected = reference.calibrated_quantiles(
                labels,
                {
                    "ticker": row["ticker"],
                    "made_on": row["made_on"].date(),
                    "step": step,
                    "quantiles": raw[LEVELS].tolist(),
                },
                list(QUANTILES),
                memory=memory,
            )
            moved += not np.allclose(expected, raw[LEVELS].tolist())
            # One 95 % interval a row: the outermost quantiles are its ends.
            expected = np.clip(expected, row["lo95"], row["hi95"])
            expected[[0, -1]] = row["lo95"], row["hi95"]
            found = [row[name] for name in LEVELS]
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
            spread = (row["q85"] - row["q15"]) / (raw["q85"] - raw["q15"])
            assert row["sigma"] == pytest.approx(raw["sigma"] * spread)
    assert moved == 20 + 18 + 18  # where there are 50 independent errors


def test_forecasts_that_only_calibration_holds_are_freed_before_it_looks_at_labels(monkeypatch):
    inner, _ = history()
    wanted, expected = calibration.raw_and_calibrated(inner, panel(), DAYS[200:])
    held = []
    given = [inner.copy()]
    seen = weakref.ref(given[0])
    replay = calibration._replay
    monkeypatch.setattr(calibration, "_replay", lambda *each: held.append(seen()) or replay(*each))
    rows, found = calibration.raw_and_calibrated(given.pop(), panel(), DAYS[200:])
    assert held[0] is None
    pd.testing.assert_frame_equal(rows, wanted, check_exact=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    chosen = inner[inner["made_on"].isin(DAYS[200:])].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, chosen, check_exact=True)


def test_intervals_are_those_of_the_slow_oracle():
    inner, rows = history()
    known = with_outcomes(inner, panel()).reset_index(drop=True)
    known.loc[known["made_on"] < DAYS[30], "outcome"] = np.nan
    dated = calibration._dated(inner, None)
    past = calibration._replay(dated, panel(), DAYS[30], None).history
    every = np.arange(len(past.made_on))
    started = [corrections.move_quantiles(past, place, every) for place in range(5)]
    started = np.stack([*started, past.quantiles[:, 5], past.quantiles[:, 6]], axis=1)
    for number, ticker in enumerate("ABC"):
        own = known[known["ticker"] == ticker]
        forecasts = []
        start = iter(started[past.ticker == number])
        for made_on, of_date in own.groupby("made_on"):
            quantiles = next(start)
            steps = {
                row["step"]: {
                    "quantiles": quantiles[row["step"] - 1].tolist(),
                    "width": row["q85"] - row["q15"],
                    "outcome": None if np.isnan(row["outcome"]) else row["outcome"],
                    "arrived": row["target_on"],
                }
                for row in of_date.to_dict("records")
            }
            forecasts.append({"made_on": made_on, "steps": steps})
        oracle = reference.tracked_intervals(forecasts, list(QUANTILES))
        expected = pd.DataFrame([bands for cones in oracle for bands in cones.values()])
        found = rows.loc[rows["ticker"] == ticker, list(INTERVAL_COLUMNS)]
        assert len(found) > 800 * H
        np.testing.assert_allclose(found, expected[list(INTERVAL_COLUMNS)], rtol=1e-8, atol=1e-12)


def test_a_calibrated_forecast_uses_no_session_after_its_origin():
    for origin in ORIGINS:
        cut = fitted().forecast(panel().until(origin), pd.DatetimeIndex([origin]))
        whole = forecast()[forecast()["made_on"] == origin].reset_index(drop=True)
        pd.testing.assert_frame_equal(cut, whole, check_exact=True)


def test_an_origin_has_the_same_forecast_whoever_is_asked_beside_it():
    _, every = history()
    for origin in ORIGINS:
        alone = fitted().forecast(panel(), pd.DatetimeIndex([origin]))
        for together in (forecast(), every):
            rows = together[together["made_on"] == origin].reset_index(drop=True)
            pd.testing.assert_frame_equal(alone, rows, check_exact=True)


def test_a_ticker_without_a_bar_of_the_origin_has_no_forecast():
    whole = simulate_bars(400, seed=1)
    panel = panel_of(A=whole, B=simulate_bars(400, seed=2)[:-1])
    fitted = Calibrated(Fake(2)).fit(panel, panel.sessions()[250])
    forecast = fitted.forecast(panel, whole.index[-1:])
    assert forecast["ticker"].tolist() == ["A", "A"]
    assert np.isfinite(forecast[NUMBERS]).all(axis=None)


def test_a_forecast_leaves_no_trace():
    before = {ticker: bars.copy() for ticker, bars in panel().items()}
    first = fitted().forecast(panel(), ORIGINS[-1:])
    fitted().forecast(panel(), ORIGINS)
    pd.testing.assert_frame_equal(fitted().forecast(panel(), ORIGINS[-1:]), first, check_exact=True)
    for ticker, bars in panel().items():
        pd.testing.assert_frame_equal(bars, before[ticker], check_exact=True)


def test_ten_times_the_price_gives_the_same_returns():
    prices = ["open", "high", "low", "close", "dividend"]
    dearer = {
        ticker: bars.assign(**{column: 10 * bars[column] for column in prices})
        for ticker, bars in panel().items()
    }
    scaled = fitted().forecast(Panel(dearer, panel().calendars), ORIGINS)
    np.testing.assert_allclose(scaled["last_close"], 10 * forecast()["last_close"])
    np.testing.assert_allclose(scaled[NUMBERS], forecast()[NUMBERS], rtol=1e-8, atol=1e-11)


def test_the_median_stays_and_intervals_nest_around_it():
    inner, calibrated = history()
    assert (calibrated["q50"].to_numpy() == inner["q50"].to_numpy()).all()
    assert not np.allclose(calibrated["q45"], inner["q45"])
    check_forecast(calibrated)
    assert (calibrated["lo50"] <= calibrated["q50"]).all()
    assert (calibrated["hi50"] >= calibrated["q50"]).all()


@dataclass(frozen=True)
class Reformed(Fake):
    """Until `fit_end` its lower quantiles were far too low, the lowest most of all."""

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        rows = super().forecast(panel, origins)
        width = (rows["q85"] - rows["q15"]).where(rows["made_on"] < self.fit_end, 0.0)
        for name in LEVELS[: LEVELS.index("q50")]:
            rows[name] -= width * (3 if name == "q025" else 1)
        return rows


def test_quantiles_that_would_cross_are_put_in_order_beside_the_median():
    inner = Reformed(1, learns_from=DAYS[30], fit_end=DAYS[600])
    rows = FittedCalibrated(inner).forecast(panel(), DAYS[600:610])
    check_forecast(rows)
    raw = inner.forecast(panel(), DAYS[600:610])
    assert (rows["q50"].to_numpy() == raw["q50"].to_numpy()).all()
    assert (rows["q45"] == rows["q50"]).all()
    assert (rows["q05"] < rows["q50"]).all()


@pytest.mark.parametrize("step", [1, 3])
def test_quantiles_stay_as_they_are_without_fifty_independent_errors(step: int):
    inner, rows = history()
    inner_levels = LEVELS[1:-1]  # the outermost are endpoints, which B moves from the first day on
    # The first label arrives `step` sessions after session 30, and counts from next Monday on.
    enough = DAYS[30 + step + 50 * step - 1]
    monday = enough + pd.Timedelta(7 - enough.weekday(), "D")
    early = (inner["made_on"] < monday) & (inner["step"] == step)
    assert (rows.loc[early, inner_levels] == inner.loc[early, inner_levels]).all(axis=None)
    then = (inner["made_on"] == DAYS[monday <= DAYS][0]) & (inner["step"] == step)
    assert not np.allclose(rows.loc[then, inner_levels], inner.loc[then, inner_levels])


def test_an_origin_of_the_fit_is_neither_moved_nor_learnt_from():
    later = FittedCalibrated(Fake(H, learns_from=DAYS[600], fit_end=DAYS[600]))
    rows, inner = later.forecast(panel(), DAYS), history()[0]
    before = (inner["made_on"] < DAYS[600]).to_numpy()
    np.testing.assert_allclose(rows.loc[before, LEVELS], inner.loc[before, LEVELS], rtol=1e-9)
    for share in COVERAGES:
        np.testing.assert_allclose(
            rows.loc[before, list(interval_columns(share))],
            inner.loc[before, list(cone_columns(share))],
            rtol=1e-9,
        )
    # As if the bars of the fit had never been seen, but for the volatility.
    first = (inner["made_on"] == DAYS[600]).to_numpy()
    np.testing.assert_allclose(rows.loc[first, LEVELS], inner.loc[first, LEVELS], rtol=1e-9)
    assert not np.allclose(rows.loc[inner["made_on"] > DAYS[800], "q10"], inner["q10"].iloc[-1])


def test_a_universe_learns_from_fewer_sessions(monkeypatch: pytest.MonkeyPatch):
    late = DAYS[901:]
    whole = FittedCalibrated(Fake(H, learns_from=DAYS[100], fit_end=DAYS[900]))
    short = FittedCalibrated(Fake(H, learns_from=DAYS[701], fit_end=DAYS[900]))
    expected = short.forecast(panel(), late)
    assert not np.allclose(whole.forecast(panel(), late)[NUMBERS], expected[NUMBERS])
    monkeypatch.setattr(calibrated, "ROWS", 3 * 200)
    pd.testing.assert_frame_equal(whole.forecast(panel(), late), expected)


def test_a_ticker_alone_is_its_own_pool():
    alone = fitted().forecast(panel().only(["A"]), ORIGINS)
    twins = Panel({"A": panel()["A"], "Z": panel()["A"]}, {"A": "XNYS", "Z": "XNYS"})
    rows = fitted().forecast(twins, ORIGINS)
    # Ranks among errors that all stand twice are not quite the ranks among them once.
    rows = rows[rows["ticker"] == "A"].reset_index(drop=True)
    np.testing.assert_allclose(alone["q10"], rows["q10"], rtol=0.05)
    pooled = forecast()[forecast()["ticker"] == "A"]
    assert not np.allclose(alone["q10"], pooled["q10"], rtol=1e-3)


def test_endpoints_stay_within_their_bounds(monkeypatch: pytest.MonkeyPatch):
    """With a hasty tracker and nobody who repairs the shape first."""
    monkeypatch.setattr(intervals, "RATE", 1.0)
    monkeypatch.setattr(corrections, "MIN_INDEPENDENT", 10_000)
    bars = panel_of(A=garch_bars(400, seed=4))
    for factor, bound in [(0.01, 3.0), (50.0, -1.0)]:
        found = Calibrated(Fake(1, factor)).fit(bars, bars.sessions()[100])
        inner, rows = found.with_inner(bars, bars.sessions())
        check_forecast(rows)
        moves = []
        for share in COVERAGES:
            ends, cone = interval_columns(share), cone_columns(share)
            moves += [inner[cone[0]] - rows[ends[0]], rows[ends[1]] - inner[cone[1]]]
        widths = np.array(moves) / (inner["q85"] - inner["q15"]).to_numpy()
        assert widths.min() >= -1 - 1e-9 and widths.max() <= 3 + 1e-9
        assert (np.isclose(widths, bound).mean(axis=1) > 0.25).any()


def test_forecasts_without_width_teach_nothing_and_stay_finite():
    """A share that was suspended for long has the same close every day."""
    still = simulate_bars(400, returns=np.zeros(400))
    rows = Fake(H, 0.0).fit(panel_of(A=still), still.index[50])
    found = FittedCalibrated(rows).forecast(panel_of(A=still), still.index)
    check_forecast(found)
    # The least width that a price has of which no tick is known.
    expected = np.tile(1e-4 * (2 * np.array(QUANTILES) - 1), (len(found), 1))
    np.testing.assert_allclose(found[LEVELS], expected, atol=1e-12)
    for share in COVERAGES:
        low, high = interval_columns(share)
        assert np.allclose(found[low], -1e-4 * share) and np.allclose(found[high], 1e-4 * share)


def test_intervals_that_are_far_too_narrow_come_to_cover():
    bars = panel_of(**{name: garch_bars(2700, seed=seed) for seed, name in enumerate("DEF", 10)})
    found = Calibrated(Fake(5, 0.5)).fit(bars, bars.sessions()[100])
    scored = bars.sessions()[300:]
    inner = with_outcomes(found.inner.forecast(bars, scored), bars)
    rows = with_outcomes(found.forecast(bars, scored), bars)
    for step in (1, 5):
        at = rows["step"] == step
        assert at.sum() == 3 * 2400
        for share in COVERAGES:
            assert coverage(inner[at], cone_columns(share)) < share - 0.05
            assert coverage(rows[at], cone_columns(share)) == pytest.approx(share, abs=0.03)
            # What θ had learnt while A was silent lasts on for a while.
            assert coverage(rows[at], interval_columns(share)) == pytest.approx(share, abs=0.02)


def test_a_row_has_one_interval_of_95_percent():
    _, rows = history()
    assert (rows["q025"] == rows["lo95"]).all()
    assert (rows["q975"] == rows["hi95"]).all()
    assert ((rows["q05"] >= rows["lo95"]) & (rows["q95"] <= rows["hi95"])).all()
    # The others are of two kinds: one answers for its coverage, one for the distribution.
    assert not np.allclose(rows["q10"], rows["lo80"])
    assert not np.allclose(rows["q25"], rows["lo50"])


def test_the_least_squares_fit_that_does_not_decrease_is_scikit_learns():
    from sklearn.isotonic import isotonic_regression

    generator = np.random.default_rng(3)
    for steps in (1, 2, 4, 20):
        values = generator.normal(size=(50, 2, steps)) + generator.uniform(0, 1) * np.arange(steps)
        values[0] = np.arange(steps)  # a sequence that needs no fit
        fitted = intervals.non_decreasing(values)
        expected = np.apply_along_axis(isotonic_regression, -1, values)
        np.testing.assert_allclose(fitted, expected, atol=1e-12)
        slow = [reference.isotonic(sequence) for sequence in values.reshape(-1, steps).tolist()]
        np.testing.assert_allclose(fitted.reshape(-1, steps), slow, atol=1e-12)
        assert (np.diff(fitted, axis=-1) >= 0).all()


@dataclass(frozen=True)
class Noisy(Fake):
    """Each step is wrong in its own way, and its median drifts."""

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        rows = super().forecast(panel, origins)
        generator = np.random.default_rng(1)
        factor = generator.uniform(0.5, 1.5, len(rows))
        drift = 0.002 * generator.normal(size=len(rows))
        return rows.assign(**{name: rows[name] * factor + drift for name in LEVELS})


def test_a_cone_never_narrows_from_one_step_to_the_next():
    noisy = FittedCalibrated(Noisy(H, learns_from=DAYS[30], fit_end=DAYS[500]))
    inner, rows = noisy.with_inner(panel(), DAYS)
    check_forecast(rows)
    for share in COVERAGES:
        for side, name in zip((-1, 1), interval_columns(share), strict=True):
            reach = (side * (rows[name] - rows["q50"])).to_numpy().reshape(-1, H)
            assert (np.diff(reach, axis=1) > -1e-15).all()
        low, high = interval_columns(share)
        assert (np.diff((rows[high] - rows[low]).to_numpy().reshape(-1, H)) > -1e-15).all()
    raw = (inner["q90"] - inner["q10"]).to_numpy().reshape(-1, H)
    assert (np.diff(raw, axis=1) < 0).mean() > 0.2


def test_a_share_that_hardly_moves_has_a_cone_that_is_never_thin_and_never_narrows():
    least = np.array([0.01, 0.0])
    reach = np.zeros((2, 3, 2, len(COVERAGES)))
    reach[:, 1] = [0.001, 0.002, 0.003]  # in between, a step with a little width
    found = intervals.published(reach, least)
    np.testing.assert_allclose(found[0, 0], [[0.005, 0.008, 0.0095]] * 2)
    assert (np.diff(found, axis=1) >= 0).all() and (np.diff(found, axis=-1) >= 0).all()
    assert (found[1, 0] == 0).all()


def raw_rows(*fits: tuple[Fake, pd.DatetimeIndex]) -> pd.DataFrame:
    """Return what several fits forecast, each on dates of its own."""
    parts = [fit.forecast(panel(), origins) for fit, origins in fits]
    return pd.concat(parts, ignore_index=True)


def test_what_calibration_has_learnt_outlasts_a_refit():
    narrow = Fake(H, 0.7)
    one, two = DAYS[30:700], DAYS[700:]
    whole = calibrate(raw_rows((narrow, DAYS[30:])), panel(), two)
    carried = calibrate(raw_rows((narrow, one), (narrow, two)), panel(), two)
    pd.testing.assert_frame_equal(carried, whole, check_exact=True)
    restarted = calibrate(raw_rows((narrow, two)), panel(), two)
    first = carried["made_on"] == DAYS[700]
    # What was 30 % too narrow stays so where it starts anew.
    assert (carried.loc[first, "q10"] < 1.08 * restarted.loc[first, "q10"]).all()
    short = first & (carried["step"] <= 3)
    assert (carried.loc[short, "lo80"] < 1.1 * restarted.loc[short, "lo80"]).all()
    # Errors are those of the fit that made the forecast.
    other = calibrate(raw_rows((narrow, one), (Fake(H), two)), panel(), two)
    again = calibrate(raw_rows((Fake(H), DAYS[30:])), panel(), two)
    assert (other.loc[first, "q10"] < 1.08 * again.loc[first, "q10"]).all()


def test_a_ticker_that_was_left_out_for_a_year_goes_on_where_it_stood():
    rows = raw_rows((Fake(1, 0.7), DAYS[30:]))
    away = (rows["ticker"] == "A") & rows["made_on"].between(DAYS[700], DAYS[951])
    there = calibrate(rows[~away], panel(), DAYS)
    own = there[there["ticker"] == "A"].set_index("made_on")
    sound = calibrate(rows, panel(), DAYS).query("ticker == 'A'").set_index("made_on")
    raw = rows[rows["ticker"] == "A"].set_index("made_on")
    # In widths, beyond what A says of all tickers: about as far as before it left.
    theta = (own["q50"] - own["lo80"]) / (raw["q85"] - raw["q15"]).reindex(own.index)
    assert own.index[own.index > DAYS[699]][0] == DAYS[952]
    assert theta[DAYS[952]] == pytest.approx(theta[DAYS[699]], abs=0.03)
    assert theta[DAYS[952]] > theta[DAYS[31]] + 0.1
    pd.testing.assert_frame_equal(own.loc[: DAYS[699]], sound.loc[: DAYS[699]], check_exact=True)


def test_labels_that_have_not_arrived_change_nothing():
    rows = raw_rows((Fake(H, 0.8), DAYS[30:700]), (Fake(H, 1.2), DAYS[700:]))
    whole = calibrate(rows, panel(), DAYS[600:])
    for origin in DAYS[[699, 700, 702, 1000]]:
        generator = np.random.default_rng(0)
        other = perturbed_panel(panel(), origin, generator)
        changed = rows.copy()
        later = changed["made_on"] > origin
        changed.loc[later, LEVELS] *= 3.0
        found = calibrate(changed, other, DAYS[600:])
        same = whole["made_on"] <= origin
        pd.testing.assert_frame_equal(found[same], whole[same], check_exact=True)
        assert not np.allclose(found.loc[~same, "q10"], whole.loc[~same, "q10"])


@dataclass(frozen=True)
class Narrow:
    """EWMA with a volatility that was planted a fifth too small."""

    inner: FittedEwma
    name: str = "narrow"

    @property
    def fit_end(self) -> pd.Timestamp:
        return self.inner.fit_end

    @property
    def learns_from(self) -> pd.Timestamp:
        return self.inner.learns_from

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        rows = self.inner.forecast(panel, origins)
        median = rows["q50"]
        return rows.assign(**{name: median + 0.8 * (rows[name] - median) for name in LEVELS})


def test_what_is_a_fifth_too_narrow_gains_where_a_speaks():
    names = enumerate("GHIJKLMN", 20)
    bars = panel_of(**{name: garch_bars(2200, seed=seed) for seed, name in names})
    days = bars.sessions()
    narrow = Narrow(Ewma(20).fit(bars, days[500]))
    inner, rows = FittedCalibrated(narrow).with_inner(bars, days[:-20])
    inner, rows = realise(inner, bars), realise(rows, bars)
    first = inner.groupby("step")["made_on"].min()
    for step in (1, 5, 10, 20):
        at = rows["step"] == step
        enough = days[days.get_loc(first[step]) + 51 * step]
        speaks = (at & (rows["made_on"] > enough + pd.Timedelta("7 days"))).to_numpy()
        assert speaks.sum() > 500
        assert crps(rows[speaks]).mean() < 0.998 * crps(inner[speaks]).mean()
        before, after = (covered(table[speaks], 0.8).mean() for table in (inner, rows))
        assert before < 0.75 and abs(after - 0.8) < 0.8 * abs(before - 0.8)
        silent = (at & (rows["made_on"] < enough - pd.Timedelta("14 days"))).to_numpy()
        middle = LEVELS[2:-2]
        np.testing.assert_array_equal(rows.loc[silent, middle], inner.loc[silent, middle])


@pytest.mark.parametrize("at_once", [0, order.AT_ONCE])
def test_order_statistics_are_those_of_sorted_windows(at_once, monkeypatch):
    monkeypatch.setattr(order, "AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    for rows in (1, 2, 7, 150):
        values = generator.integers(0, 40, (3, rows)).astype(float)  # with ties
        start = generator.integers(0, rows, 60)
        stop = start + 1 + generator.integers(0, rows - start)
        rank = generator.integers(0, stop - start, (3, 60))
        found = order.order_statistics(values, start, stop, rank)
        for level in range(3):
            for n in range(60):
                window = sorted(values[level, start[n] : stop[n]])
                assert found[level, n] == window[rank[level, n]]


@pytest.mark.market
@pytest.mark.parametrize("ticker", ["MRK", "MDT"])
def test_intervals_cover_real_returns(ticker: str, market_data: Path, tmp_path: Path):
    source = CsvSource(file=market_data / f"{ticker}.csv")
    bars = panel_of(**{ticker: source.bars(ticker, cache=tmp_path).bars})
    days = bars.sessions()
    found = Calibrated(Ewma(5)).fit(bars, days[500])
    rows = with_outcomes(found.forecast(bars, days[500:]), bars)
    for _, each in rows.groupby("step"):
        assert coverage(each, interval_columns(0.8)) == pytest.approx(0.8, abs=0.01)
