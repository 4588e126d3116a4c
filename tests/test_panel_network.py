"""The panel network as a recipe: what it forecasts, from what, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from panel_cases import PRICES, bars_of, panel, spoilt_after
from simulate import panel_of, simulate_bars

from lstmcli.errors import NoDataError
from lstmcli.forecasters.panel_network import FittedPanel, PanelRecipe
from lstmcli.forecasters.panel_network import fit as fitting
from lstmcli.forecasters.panel_network import recipe as module
from lstmcli.forecasters.panel_network.batches import Batches
from lstmcli.forecasters.panel_network.columns import Columns
from lstmcli.forecasters.panel_network.fit import least_sessions, prepare, ridge_steps
from lstmcli.forecasters.panel_network.modes import INPUTS, MODES, PLAIN, Mode
from lstmcli.forecasters.panel_network.network import Weights
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.panel_network.volatility import (
    _each_volatility,
    at_steps,
    log_variances,
    log_variances_in,
)
from lstmcli.forecasters.training import HISTORY_COLUMNS, Silent
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP, log_variances_ahead
from lstmcli.frames import QUANTILE_COLUMNS, QUANTILES, check_forecast, cumulative_returns
from lstmcli.panel import Panel

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("one_thread")]

LEVELS = list(QUANTILE_COLUMNS)
SMALL = PanelNetworkConfig(units=4, hidden=8, batches=3, tickers=4, span=96, burn_in=16)
UNTIL = bars_of(0).index[670]
ORIGINS = bars_of(0).index[[400, 680, 699]]


def recipe(horizon: int = 20, **changes) -> PanelRecipe:
    return PanelRecipe(horizon=horizon, model=SMALL, members=1, **changes)


def random_member(config, table, learnt, *, seed, fit, member, dates=True, **_) -> tuple:
    """Stand in for `train_member`: a network that corrects something, of each member other."""
    del seed
    u, w = config.units, config.hidden
    seen = float(Batches(table, config, learnt, seed=1)[0].residual.sum())
    generator = np.random.default_rng(member)
    shapes = Weights.shapes(INPUTS if dates else len(PLAIN), u, w)
    weights = Weights.of([0.2 * generator.standard_normal(shape) for shape in shapes])
    row = {"fit": fit, "member": member, "epoch": 0, "loss": seen, "validation_loss": seen}
    return weights, pd.DataFrame([{**row, "seconds": 0.0}])[list(HISTORY_COLUMNS)]


def fit(given: Panel, horizon: int = 20) -> FittedPanel:
    """Return a fit whose ridges are its own and whose networks are random."""
    with mock.patch.object(module, "train_member", random_member):
        return recipe(horizon).fit(given, UNTIL)


@cache
def fitted() -> FittedPanel:
    return fit(panel(20, dates=True))


def test_a_forecast_has_its_columns_and_ascending_quantiles():
    rows = fitted().forecast(panel(20), ORIGINS)
    check_forecast(rows)
    assert len(rows) == 20 * len(ORIGINS) * 20
    assert np.isfinite(rows[[*LEVELS, "sigma"]].to_numpy()).all()
    assert (rows["sigma"] > 0).all()
    assert set(rows["recipe"]) == {"panel"}
    first = rows[rows["ticker"] == "T00"].iloc[:20]
    assert first["step"].tolist() == list(range(1, 21))
    assert (first["last_close"] == bars_of(0)["close"].iloc[400]).all()
    assert set(fitted().state.shapes) == set(MODES)


@pytest.mark.parametrize("dates", [False, True])
@pytest.mark.parametrize("tickers", [20, 1])
def test_a_forecast_does_not_change_with_what_comes_after_its_origin(tickers: int, dates: bool):
    given = panel(tickers, dates=dates)
    for origin in ORIGINS[1:]:
        here = pd.DatetimeIndex([origin])
        whole = fitted().forecast(given, here)
        pd.testing.assert_frame_equal(fitted().forecast(spoilt_after(given, origin), here), whole)
        cut = fitted().forecast(given.until(origin), here)
        np.testing.assert_allclose(cut[LEVELS], whole[LEVELS], rtol=1e-5, atol=1e-8)


def test_a_fit_uses_no_session_after_its_end():
    found, again = fitted(), fit(spoilt_after(panel(20, dates=True), UNTIL))
    assert again.files() == found.files()
    assert again.learnt() == found.learnt()
    assert again.fit_end == found.fit_end == UNTIL


def test_a_trained_network_corrects_the_ridges():
    found = recipe().fit(panel(2), UNTIL)
    assert found.best_epochs == (1,) * 5
    rows = found.forecast(panel(2), ORIGINS)
    check_forecast(rows)
    bare = found.untrained().forecast(panel(2), ORIGINS)
    assert not np.allclose(rows["sigma"], bare["sigma"], rtol=1e-6)


def test_ten_times_the_price_gives_the_same_returns():
    given = panel(20)
    dearer = {
        ticker: bars.assign(**{name: 10 * bars[name] for name in PRICES})
        for ticker, bars in given.items()
    }
    scaled = fitted().forecast(given.with_(bars=dearer), ORIGINS)
    rows = fitted().forecast(given, ORIGINS)
    np.testing.assert_allclose(scaled["last_close"], 10 * rows["last_close"])
    np.testing.assert_allclose(scaled[LEVELS], rows[LEVELS], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("market", [True, False])
@pytest.mark.parametrize("tickers", [1, 19, 20])
def test_a_fit_forecasts_tickers_that_it_never_saw(tickers: int, market: bool):
    others = panel_of(**{f"X{n}": bars_of(100 + n) for n in range(tickers)})
    given = others.with_(market=panel(1).market) if market else others
    rows = fitted().forecast(given, ORIGINS[-1:])
    check_forecast(rows)
    assert set(rows["ticker"]) == set(given)
    modes = {int(log_variances(fitted().state, Columns(given))["X0"].modes[-1])}
    assert modes == {MODES.index(Mode(tickers >= 20, market, 0))}


@pytest.mark.parametrize("sessions", [101, 120, 300])
def test_a_ticker_of_few_bars_is_forecast_by_what_others_have_shown(sessions: int):
    short = simulate_bars(sessions, seed=77)
    for given in (panel_of(X=short), panel(20).with_(bars={**panel(20), "T03": short})):
        ticker = "X" if len(given) == 1 else "T03"
        rows = fitted().forecast(given, short.index[[-2, -1]])
        check_forecast(rows)
        own = rows[rows["ticker"] == ticker]
        assert set(own["made_on"]) == set(short.index[max(-2, 100 - sessions) :])
        assert 0.1 < own["q975"].iloc[0] / 0.02 < 10


def test_a_ticker_of_a_hundred_bars_has_no_forecast():
    assert fitted().forecast(panel_of(X=simulate_bars(100)), ORIGINS[-1:]).empty


@pytest.mark.parametrize("horizon", [1, 5, 20, 60])
def test_every_horizon_is_forecast(horizon: int):
    found = fit(panel(2), horizon)
    assert found.state.steps == ridge_steps(horizon)
    rows = found.forecast(panel(2), ORIGINS[-1:])
    check_forecast(rows)
    assert len(rows) == 2 * horizon
    width = (rows["q95"] - rows["q05"]).to_numpy().reshape(2, horizon)
    if horizon > 1:
        assert (width[:, -1] > 0.5 * np.sqrt(horizon) * width[:, 0]).all()


def test_corrections_are_interpolated_and_fade_beyond_twenty_sessions():
    each = np.array([[1.0, 2.0, 4.0, 8.0]])
    steps = np.array([1, 3, 5, 7, 10, 20, 40, 60])
    expected = [
        1.0,
        1 + np.log(3) / np.log(5),
        2.0,
        2 + 2 * np.log(7 / 5) / np.log(2),
        4.0,
        8.0,
        4.0,
        8 / 3,
    ]
    np.testing.assert_allclose(at_steps(each, steps)[0], expected)


def test_an_untrained_network_forecasts_as_the_ridges_do():
    found = fitted()
    zeros = tuple(
        replace(
            stretch,
            **{
                kind: tuple(
                    replace(w, head=0 * w.head, head_bias=0 * w.head_bias)
                    for w in getattr(stretch, kind)
                )
                for kind in ("networks", "plain")
            },
        )
        for stretch in found.state.stretches
    )
    bare = replace(found, state=replace(found.state, stretches=zeros))
    rows = found.untrained().forecast(panel(20), ORIGINS)
    assert set(rows["recipe"]) == {"panel-untrained"}
    expected = bare.forecast(panel(20), ORIGINS)
    pd.testing.assert_frame_equal(rows[LEVELS], expected[LEVELS])
    assert not np.allclose(rows[LEVELS], found.forecast(panel(20), ORIGINS)[LEVELS], rtol=1e-3)


def test_each_session_of_the_fit_is_forecast_by_the_block_that_has_not_seen_it():
    found, given = fitted(), panel(20)
    whole = log_variances(found.state, Columns(given))["T00"]
    days = whole.sessions.to_numpy()
    begin = np.datetime64("1900-01-01")
    for number, stretch in enumerate(found.state.stretches):
        others = tuple(
            each if n == number else replace(each, networks=(), plain=())
            for n, each in enumerate(found.state.stretches)
        )
        state = replace(found.state, stretches=others)
        part = log_variances(state, Columns(given))["T00"].log_variance
        start = begin if number == 0 else found.state.ends[number - 1]
        end = days[-1] if number == len(found.state.ends) else found.state.ends[number]
        inside = (days > start) & (days <= end) & np.isfinite(part).all(axis=1)
        same = (part == whole.log_variance).all(axis=1)
        assert stretch.networks
        assert inside.any()
        np.testing.assert_array_equal(same & np.isfinite(part).all(axis=1), inside)


def test_a_worker_prepares_the_members_of_a_fit_once():
    given, trained = panel(3), []

    def member(*_, member: int, **__) -> tuple:
        trained.append(member)
        return None, pd.DataFrame()

    with (
        mock.patch.object(module, "train_member", member),
        mock.patch.object(fitting, "prepare", wraps=fitting.prepare) as prepare,
    ):
        for until in (UNTIL, bars_of(0).index[690]):
            for number in (1, 2):
                recipe().train_only(number, given, until, watch=Silent(), fit="scored")
    assert trained == [1, 2, 1, 2]
    assert prepare.call_count == 2


def test_what_a_panel_has_in_common_is_taken_off_by_half():
    found, given = fitted(), panel(20)
    columns = Columns(given)
    each = log_variances(found.state, columns)
    alone = {
        ticker: log_variances_in(found.state, columns, [ticker], hide=(None,))[0][ticker]
        for ticker in given
    }
    row = 690
    parts = dict(_each_volatility(found.state, columns, list(given), (None,), None))
    common = np.array([part[row] for [(_, part)] in parts.values()])
    for number, ticker in enumerate(given):
        # Of one ticker all is common.
        difference = each[ticker].log_variance[row] - alone[ticker].log_variance[row]
        np.testing.assert_allclose(difference, common[number] - common.mean(axis=0), atol=1e-6)


def late_market() -> Panel:
    """Return a panel whose market series begin in the last quarter of the fit."""
    given = panel(3)
    start = given.sessions()[420]
    return given.with_(
        market={
            name: replace(each, bars=each.bars.loc[start:]) for name, each in given.market.items()
        }
    )


def test_market_series_that_begin_late_are_no_trouble():
    given = late_market()
    found = fit(given)
    rows = found.forecast(given, ORIGINS)
    check_forecast(rows)
    for shape in found.state.shapes.values():
        assert np.isfinite(shape).all()
    assert (rows["q75"] - rows["q25"] > 0.001).all()


@pytest.mark.parametrize("sessions", [1, 15, 25, 120, 300])
def test_too_few_sessions_are_refused_with_how_many_are_needed(sessions: int):
    short = panel_of(A=simulate_bars(sessions))
    needed = LONG_WARM_UP + least_sessions(20) + 20
    message = rf"A: Expected at least {needed} sessions .* Received: {sessions}\."
    with pytest.raises(NoDataError, match=message) as caught:
        recipe().fit(short, short.sessions()[-1])
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("horizon", [1, 20, 60])
@pytest.mark.parametrize("tickers", [1, 2, 30])
def test_as_many_sessions_as_are_asked_for_suffice(tickers: int, horizon: int):
    longest = max(ridge_steps(horizon))
    needed = LONG_WARM_UP + least_sessions(longest, tickers) + longest
    given = panel_of(**{f"T{n}": simulate_bars(needed, seed=n) for n in range(tickers)})
    ready = prepare(given, horizon)
    assert all(MODES[-1] in wide for wide in ready.wide)
    with pytest.raises(NoDataError, match=f"at least {needed} sessions"):
        prepare(given.until(given.sessions()[-2]), horizon)


def test_smearing_and_shapes_are_those_of_all_errors_at_once():
    given, state = panel(20, dates=True).until(UNTIL), fitted().state
    bare, columns = replace(state, smearing={}, shapes={}), Columns(given)
    at = np.array(state.steps) - 1
    ahead = log_variances_ahead(given, state.steps)
    for mode in (MODES[0], MODES[-1]):
        (found,) = log_variances_in(bare, columns, tuple(given), hide=[mode])
        sizes, errors = [], []
        for ticker, each in found.items():
            rows = each.modes == MODES.index(mode)
            rows &= each.sessions.to_numpy() <= state.ends[-1]
            moved = cumulative_returns(given[ticker], state.steps[-1])[:, at]
            sizes.append((ahead[ticker] - each.log_variance)[rows])
            errors.append((moved / np.sqrt(state.steps) / np.exp(each.log_variance / 2))[rows])
        smearing = np.log(np.nanmean(np.exp(np.concatenate(sizes)), axis=0))
        scaled = np.concatenate(errors) / np.exp(smearing / 2)
        np.testing.assert_array_equal(state.smearing[mode], smearing)
        np.testing.assert_array_equal(
            state.shapes[mode], np.nanquantile(scaled, QUANTILES, axis=0).T
        )


def test_shapes_of_many_tickers_are_taken_from_some_spread_over_all(monkeypatch):
    monkeypatch.setattr(fitting, "SHAPED", 5)
    ready = prepare(panel(20, dates=True).until(UNTIL), 20)
    assert ready.shaped.tickers == ("T00", "T05", "T10", "T14", "T19")
    (kept,) = ready.shaped.each(["T14"], ready.clocks, ready.reaction)
    computed = Columns(panel(20, dates=True).until(UNTIL)).of("T14", ready.clocks, ready.reaction)
    np.testing.assert_array_equal(kept.values, computed.values)
    np.testing.assert_array_equal(kept.modes(), computed.modes())
