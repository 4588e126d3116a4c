"""What calibration has learnt is kept, and goes on as if it had never stopped."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from simulate import simulate_bars
from test_calibrated import DAYS, LEVELS, Fake, H, panel, raw_rows

from lstmcli.forecasters import calibration_state
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.calibration import calibrate, learn
from lstmcli.forecasters.calibration_state import CalibrationState
from lstmcli.panel import Panel

NARROW, WIDE = Fake(H, 0.7), Fake(H, 1.3)
FIRST, THEN, NOW = DAYS[30], DAYS[640], DAYS[905]


def between(start: pd.Timestamp, stop: pd.Timestamp) -> pd.DatetimeIndex:
    return DAYS[(start <= DAYS) & (stop > DAYS)]


def learnt(of: Panel | None = None) -> CalibrationState:
    """Return what was learnt of two fits, the second since `THEN`, before `NOW`."""
    of = of or panel()
    one = learn(raw_rows((NARROW, between(FIRST, THEN))), of, THEN)
    return learn(raw_rows((WIDE, between(THEN, NOW))), of, NOW, state=one)


def assert_same(one: CalibrationState, two: CalibrationState) -> None:
    for field in fields(one):
        ours, others = getattr(one, field.name), getattr(two, field.name)
        if field.name == "returns":
            assert ours.keys() == others.keys()
            for ticker in ours:
                pd.testing.assert_series_equal(
                    ours[ticker],
                    others[ticker],
                    check_freq=False,
                    check_names=False,
                    rtol=1e-6,
                    atol=1e-9,
                )
        elif isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, others)
            assert ours.dtype == others.dtype
        else:
            assert ours == others


def test_forecasts_are_those_of_a_replay_from_the_bars():
    every = raw_rows(
        (NARROW, between(FIRST, THEN)), (WIDE, between(THEN, NOW)), (NARROW, DAYS[DAYS >= NOW])
    )
    later = every[every["made_on"] >= NOW]
    expected = calibrate(every, panel(), DAYS[DAYS >= NOW])
    kept = CalibrationState.from_bytes(learnt().to_bytes())
    found = calibrate(later, panel(), DAYS[DAYS >= NOW], state=kept)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    forgetful = calibrate(later, panel(), DAYS[DAYS >= NOW])
    assert not np.allclose(found[LEVELS], forgetful[LEVELS], rtol=1e-3)


def test_what_was_learnt_in_two_parts_is_what_is_learnt_at_once():
    every = raw_rows((NARROW, between(FIRST, THEN)), (WIDE, between(THEN, NOW)))
    assert_same(learnt(), learn(every, panel(), NOW))
    assert_same(CalibrationState.from_bytes(learnt().to_bytes()), learnt())
    nothing_new = learn(every.iloc[:0], panel(), NOW, state=learnt())
    assert_same(nothing_new, learnt())


def test_labels_of_the_session_and_later_are_not_yet_learnt():
    early = learnt(panel().until(between(THEN, NOW)[-1]))
    assert_same(early, learnt())
    assert (early.made_on < NOW.to_datetime64()).all()
    known = np.isfinite(early.errors[..., 0])
    assert early.target_on[known].max() < NOW.to_datetime64()
    assert sorted(np.unique(early.made_on[early.waiting])) == sorted(DAYS[905 - H : 905])


def test_a_fitted_forecaster_goes_on_from_its_state():
    fit = Fake(H, 0.7, learns_from=FIRST, fit_end=NOW)
    state = learn(raw_rows((fit, between(FIRST, NOW))), panel(), NOW)
    alone, kept = FittedCalibrated(fit), FittedCalibrated(fit, state)
    for origins in (DAYS[905:906], DAYS[[905, 1000, 1249]]):
        for one, two in zip(
            kept.with_inner(panel(), origins), alone.with_inner(panel(), origins), strict=True
        ):
            pd.testing.assert_frame_equal(one, two, check_exact=True)
    # Before it, everything is forecast anew.
    early = DAYS[[800, 905]]
    pd.testing.assert_frame_equal(
        kept.forecast(panel(), early), alone.forecast(panel(), early), check_exact=True
    )


def test_a_state_saves_the_forecasts_of_the_history(monkeypatch: pytest.MonkeyPatch):
    asked = []
    forecast = Fake.forecast

    def counted(self: Fake, of: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        asked.append(len(origins))
        return forecast(self, of, origins)

    monkeypatch.setattr(Fake, "forecast", counted)
    fit = Fake(H, learns_from=FIRST, fit_end=NOW)
    FittedCalibrated(fit, learnt()).forecast(panel(), DAYS[907:908])
    assert asked[-1] == 3
    FittedCalibrated(fit).forecast(panel(), DAYS[907:908])
    assert asked[-1] > 800


def test_a_new_ticker_starts_at_zero_and_reads_the_errors_of_the_others():
    known = learn(raw_rows((NARROW, between(FIRST, NOW))), panel(), NOW).only({"A", "B"})
    rows = raw_rows((NARROW, DAYS[905:1000]))
    found = calibrate(rows, panel(), DAYS[905:1000], state=known)
    first = found[(found["ticker"] == "C") & (found["made_on"] == NOW) & (found["step"] == 1)]
    raw = rows[(rows["ticker"] == "C") & (rows["made_on"] == NOW) & (rows["step"] == 1)]
    assert first["q10"].item() < 1.1 * raw["q10"].item()
    assert known.tickers == ("A", "B") and known.theta.shape[0] == 2


def test_what_is_kept_of_some_tickers_is_what_they_would_have_alone():
    some = learnt().only({"A", "C"})
    rows = raw_rows((NARROW, between(FIRST, THEN)), (WIDE, between(THEN, NOW)))
    rows = rows[rows["ticker"] != "B"]
    alone = learn(rows, panel(), NOW)
    assert (some.tickers, some.before) == (alone.tickers, NOW)
    for name in ("ticker", "made_on", "target_on", "errors", "waiting", "quantiles"):
        np.testing.assert_array_equal(getattr(some, name), getattr(alone, name))
    assert set(some.returns) == {"A", "C"}


def test_bars_that_were_corrected_are_noticed_and_a_split_is_not():
    state = CalibrationState.from_bytes(learnt().to_bytes())
    bars = dict(panel().bars)
    assert state.changed(panel()) == ()
    prices = ["open", "high", "low", "close", "dividend"]
    bars["A"] = bars["A"].assign(**{name: bars["A"][name] / 4 for name in prices})
    corrected = bars["B"].copy()
    corrected.loc[DAYS[700], ["high", "close"]] *= 1.01
    bars["B"] = corrected
    later = bars["C"].copy()
    later.loc[DAYS[1000], ["high", "close"]] *= 1.01
    bars["C"] = later
    assert state.changed(Panel(bars, panel().calendars)) == ("B",)
    bars["A"] = bars["A"].drop(index=DAYS[650])
    assert state.changed(Panel(bars, panel().calendars)) == ("A", "B")
    bars["A"] = simulate_bars(1250, seed=9)
    assert state.changed(Panel(bars, panel().calendars)) == ("A", "B")


def test_the_oldest_origins_are_forgotten_where_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
):
    whole = learnt()
    monkeypatch.setattr(calibration_state, "ROWS", 600)
    short = whole.trimmed()
    assert 570 < len(short.made_on) <= 600
    assert (short.errors == whole.errors[-len(short.errors) :])[np.isfinite(short.errors)].all()
    np.testing.assert_array_equal(short.theta, whole.theta)
    np.testing.assert_array_equal(short.made_on[short.waiting], whole.made_on[whole.waiting])
    assert learnt().returns["A"].index[0] > whole.returns["A"].index[0]
    monkeypatch.setattr(calibration_state, "ROWS", 10)
    assert len(np.unique(learnt().made_on)) == calibration_state.MIN_HISTORY


def test_what_is_no_state_is_said():
    content = learnt().to_bytes()
    for damaged in (b"", b"PK", content[:1000]):
        with pytest.raises(ValueError):
            CalibrationState.from_bytes(damaged)
    with pytest.raises(ValueError, match="steps"):
        calibrate(raw_rows((Fake(2), DAYS[905:])), panel(), DAYS[905:], state=replace(learnt()))
