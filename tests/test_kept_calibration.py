"""What calibration has learnt is kept: the numbers are those of a past that is forecast anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Lstm
from panel_cases import bars_of, quarterly, series
from simulate import panel_of
from test_pretrained_forecasts import place  # noqa: F401  a workspace beside a Yahoo

from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.kept_calibration import BEHIND, KeptCalibration
from lstmcli.forecasters.panel_network.fitted import FittedPanel
from lstmcli.forecasters.small_products import ROWS, by_rows
from lstmcli.panel import MarketSeries, Panel
from lstmcli.pipeline.saved import fitted_from, stored_config
from lstmcli.store import Workspace
from lstmcli.store.runs import RunStore
from lstmcli.store.shipped import shipped_run

LEARNT = 60
"""Sessions of the panel that the network has not seen."""


@cache
def panel() -> Panel:
    """Return tickers with one history, one with a hole, a young one, and dates of reports."""
    bars = {name: bars_of(seed) for seed, name in enumerate("ABC")}
    bars["HOLE"] = bars_of(7).drop(bars_of(7).index[-20])
    bars["YOUNG"] = bars_of(8).iloc[-(LEARNT // 2) :]
    found = panel_of(**bars).with_(market=series())
    return found.with_(events=quarterly(found.only(["A", "C"])))


@cache
def network() -> FittedPanel:
    """Return the network that ships, as if it were trained until the sessions of the panel."""
    run = shipped_run()
    runs = RunStore(Path("none"))
    recipe = stored_config(runs, run.manifest.run, run.files.config).recipe()
    fitted = fitted_from(run.files, recipe, store=runs, run=run.manifest.run)
    assert isinstance(fitted, FittedPanel)
    return replace(fitted, learns_from=panel().sessions()[-LEARNT])


class Evenings:
    """Forecasts evening by evening; what one keeps, the next one finds."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def kept(self) -> KeptCalibration:
        return KeptCalibration(network().recipe.horizon, "one version", self.files.get)

    def forecast(self, of: Panel, *, earlier: bool = False) -> pd.DataFrame:
        kept = self.kept()
        sessions = of.sessions()
        origins = sessions[-2:] if earlier else sessions[-1:]
        calibrated = FittedCalibrated(network(), alone=True)
        raw, published = calibrated.with_inner(of, origins, kept=kept)
        assert len(raw) == len(published)
        self.files |= kept.changed
        return published


def anew(of: Panel, *, earlier: bool = False) -> pd.DataFrame:
    """Return the forecast of those who keep nothing."""
    origins = of.sessions()[-2:] if earlier else of.sessions()[-1:]
    return FittedCalibrated(network(), alone=True).forecast(of, origins)


def evening(number: int, of: Panel | None = None) -> Panel:
    """Return what was known so many sessions before the last one."""
    return (of or panel()).until(panel().sessions()[-1 - number])


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.fixture
def forecast_sessions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sessions each pass of the network forecasts."""
    asked: list[int] = []
    forecast = FittedPanel.forecast

    def counted(self: FittedPanel, of: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        asked.append(len(origins))
        return forecast(self, of, origins)

    monkeypatch.setattr(FittedPanel, "forecast", counted)
    return asked


def test_evenings_that_go_on_have_the_digits_of_those_that_forecast_the_past_anew():
    evenings = Evenings()
    for number in (25, 24, 20, 6, 3, 1, 0):
        earlier = number % 2 == 0
        found = evenings.forecast(evening(number), earlier=earlier)
        assert_same(found, anew(evening(number), earlier=earlier))
    assert set(found["ticker"]) == set(panel())
    first = Evenings()
    first.forecast(evening(0))
    assert first.files == evenings.files  # byte by byte


def test_an_evening_forecasts_what_is_new(forecast_sessions):
    evenings = Evenings()
    evenings.forecast(evening(1))
    assert max(forecast_sessions) == LEARNT - 1
    forecast_sessions.clear()
    evenings.forecast(evening(0))
    assert max(forecast_sessions) == BEHIND + 1
    forecast_sessions.clear()
    evenings.forecast(evening(0))
    assert max(forecast_sessions) == BEHIND


def with_bars(of: Panel, ticker: str, at: int, column: str, factor: float) -> Panel:
    bars = of[ticker].copy()
    bars.iloc[at, bars.columns.get_loc(column)] *= factor
    return of.with_(bars={**of.bars, ticker: bars})


def with_market(of: Panel, at: int) -> Panel:
    vix = of.market["vix"]
    bars = vix.bars.copy()
    bars.iloc[at, bars.columns.get_loc("close")] *= 1.01
    return of.with_(market={**of.market, "vix": MarketSeries(vix.ticker, bars, vix.calendar)})


def without_events(of: Panel, ticker: str) -> Panel:
    return of.with_(events=of.events[of.events["ticker"] != ticker].reset_index(drop=True))


CHANGES: dict[str, tuple[Callable[[Panel], Panel], set[str]]] = {
    "a bar": (lambda of: with_bars(of, "A", -30, "close", 1.001), {"A"}),
    "an old volume": (lambda of: with_bars(of, "B", -400, "volume", 2.0), {"B"}),
    "a bar of the last days": (lambda of: with_bars(of, "A", -3, "high", 1.02), set()),
    "a market series": (lambda of: with_market(of, -30), {"A", "B", "C", "HOLE", "YOUNG"}),
    "its last days": (lambda of: with_market(of, -2), set()),
    "events": (lambda of: without_events(of, "A"), {"A"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_read_and_is_another_is_learnt_anew(change, forecast_sessions):
    changed, learnt_anew = CHANGES[change]
    evenings = Evenings()
    evenings.forecast(evening(1))
    forecast_sessions.clear()
    now = changed(evening(0))
    before = dict(evenings.files)
    found = evenings.forecast(now)
    assert (max(forecast_sessions) > BEHIND + 1) == bool(learnt_anew)
    assert_same(found, anew(now))
    fresh = Evenings()
    fresh.forecast(now)
    assert fresh.files == evenings.files
    assert set(before) == set(evenings.files)


DAMAGE = {
    "cut": lambda content: content[:-1],
    "empty": lambda content: b"",
    "a digit": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
    "the end": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "the hash": lambda content: bytes([content[0] ^ 1]) + content[1:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_changes_no_number(damage):
    evenings = Evenings()
    evenings.forecast(evening(1))
    evenings.files["A"] = DAMAGE[damage](evenings.files["A"])
    assert_same(evenings.forecast(evening(0)), anew(evening(0)))


def test_a_past_origin_uses_nothing_from_after_it():
    evenings = Evenings()
    evenings.forecast(evening(0))
    assert_same(evenings.forecast(evening(20)), anew(evening(20)))


def test_tickers_that_stay_behind_go_on_from_where_they_stood():
    evenings = Evenings()
    evenings.forecast(evening(9).only(["A", "B"]))
    evenings.forecast(evening(4).only(["B", "C"]))
    assert_same(evenings.forecast(evening(0)), anew(evening(0)))


def test_a_rebuild_tells_the_same_numbers_from_other_ones():
    evenings = Evenings()
    evenings.forecast(evening(6))
    calibrated = FittedCalibrated(network(), alone=True)
    now = evening(0).only(["A", "C", "HOLE"])
    assert calibrated.relearn(now, evenings.kept()) == ([], [])
    moved = with_bars(now, "C", -300, "close", 1.0001)
    assert calibrated.relearn(moved, evenings.kept()) == ([], ["C"])


@pytest.mark.parametrize("shape", [(3, 700, 5), (700, 5), (1, 5)])
def test_a_row_has_the_same_digits_however_many_follow(shape):
    generator = np.random.default_rng(0)
    x = generator.standard_normal(shape).astype(np.float32)
    weights = generator.standard_normal((5, 7)).astype(np.float32)
    found = by_rows(x, weights)
    np.testing.assert_allclose(found, x @ weights, rtol=1e-4, atol=1e-5)
    for count in (0, 1, ROWS - 1, ROWS, ROWS + 1, 300, shape[-2]):
        count = min(count, shape[-2])
        np.testing.assert_array_equal(by_rows(x[..., :count, :], weights), found[..., :count, :])
    np.testing.assert_array_equal(by_rows(x, weights[:, 0]).shape, shape[:-1])


@pytest.mark.process
@pytest.mark.usefixtures("place")
def test_forecasts_keep_what_they_have_learnt(place: Path, lstm: Lstm, monkeypatch):  # noqa: F811
    first = lstm("predict", "MRK", "MDT", "--json")
    assert first.code == 0, first.err
    store = Workspace(place).calibrations
    (run,) = store.runs()
    assert (run, store.of(run).tickers()) == (shipped_run().manifest.run, ["MDT", "MRK"])
    again = lstm("predict", "MRK", "MDT", "--json")
    assert json.loads(again.out) == json.loads(first.out)
    answer = lstm("doctor", "--rebuild")
    assert answer.code == 0, answer.err
    assert "2 of 2 tickers, the same numbers" in answer.out

    # Another number, of which nobody sees that it is wrong.
    with monkeypatch.context() as patch:
        patch.setattr("lstmcli.forecasters.intervals.RATE", 0.03)
        answer = lstm("doctor", "--rebuild")
    assert answer.code == 6
    assert "other ones of MDT MRK" in answer.err

    assert lstm("remove", "MRK").code == 0
    assert store.of(run).tickers() == ["MDT"]


@pytest.mark.process
@pytest.mark.usefixtures("place")
def test_a_forecast_is_made_where_nothing_can_be_kept(place: Path, lstm: Lstm, no_room_for):  # noqa: F811
    no_room_for("*.bin")
    answer = lstm("predict", "MRK")
    assert answer.code == 0, answer.err
    assert not [*(place / "state").rglob("*.bin")]
