"""Tuning of the panel network: what changes, what stays, and what is out of sample."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from panel_cases import bars_of, panel, quarterly, spoilt_after
from simulate import panel_of, simulate_bars
from test_panel_network import LEVELS, ORIGINS, UNTIL, fitted
from test_panel_training import Recorder

from lstmcli.errors import ConfigError, NoDataError
from lstmcli.forecasters.panel_network import FittedPanel, PanelRecipe, member, settings
from lstmcli.forecasters.panel_network import training as module
from lstmcli.forecasters.panel_network.batches import Batches
from lstmcli.forecasters.panel_network.member import COMMON, COMMON_RATIO, loss_of
from lstmcli.forecasters.panel_network.tuning import least_tuned, table_of
from lstmcli.forecasters.training import Silent, Watch
from lstmcli.forecasters.volatility.regressors import LONG_WARM_UP
from lstmcli.frames import check_forecast
from lstmcli.models.runtime import load_tensorflow
from lstmcli.panel import Panel

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("one_thread")]

END = bars_of(0).index[690]
"""The last session of the tuning, later than the last of the start."""


@cache
def few(tickers: int = 2) -> Panel:
    """Return tickers that the start never saw."""
    found = panel_of(**{f"X{n}": bars_of(200 + n) for n in range(tickers)})
    return found.with_(market=panel(1).market)


def recipe(**changes) -> PanelRecipe:
    model = fitted().recipe.model.model_copy(update={"learning_rate": 0.05})
    made = PanelRecipe(model=model, members=2, label="mine", starts=True)
    return replace(made.starting_from(fitted()), **changes)


def tune(given: Panel | None = None, until: pd.Timestamp = END, watch: Watch | None = None):
    return recipe().fit(given or few(), until, watch=watch)


@cache
def tuned() -> FittedPanel:
    return tune()


def shipped(given: Panel) -> pd.DataFrame:
    return fitted().shipped(recipe()).forecast(given, ORIGINS)


def test_sessions_up_to_the_end_are_forecast_by_the_start_and_later_ones_by_what_was_tuned():
    rows, plain = tuned().forecast(few(), ORIGINS), shipped(few())
    check_forecast(rows)
    assert set(rows["recipe"]) == {"mine"}
    later = (rows["made_on"] > END).to_numpy()
    assert later.any()
    assert not later.all()
    pd.testing.assert_frame_equal(rows[~later], plain[~later])
    assert not np.isclose(rows["sigma"], plain["sigma"], rtol=1e-6)[later].any()


def test_errors_count_from_the_session_after_the_end_of_the_start():
    found = tuned()
    assert found.fit_end == END > fitted().fit_end
    assert found.learns_from == UNTIL + pd.Timedelta(1, "D")
    assert found.tickers == ("X0", "X1")


def test_networks_change_and_all_else_stays():
    before, after = tuned().state.stretches
    [start] = fitted().state.alone().stretches
    assert before is not after
    for one, other in ((before.wide, start.wide), (after.wide, start.wide), (after.har, start.har)):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[m].slopes, other[m].slopes) for m in one)
    assert len(after.plain) == 2
    for network in after.plain:  # of one network that the start has
        parts = zip(network.arrays(), start.plain[0].arrays(), strict=True)
        assert all(not np.array_equal(a, b) and np.abs(a - b).max() < 0.5 for a, b in parts)
    assert not np.array_equal(after.plain[0].kernel, after.plain[1].kernel)
    # No date of these tickers is known: what reads dates has nothing to learn.
    assert len(after.networks) == len(start.networks) == 1
    assert np.array_equal(after.networks[0].kernel, start.networks[0].kernel)


def test_networks_that_read_dates_are_tuned_where_dates_are_known():
    given = few().with_(events=quarterly(few()))
    before, after = tune(given).state.stretches
    for kind in ("networks", "plain"):
        old, new = getattr(before, kind), getattr(after, kind)
        assert (len(old), len(new)) == (1, 2)
        assert not np.array_equal(new[0].kernel, old[0].kernel)
    assert after.networks[0].kernel.shape != after.plain[0].kernel.shape


def test_the_untrained_forecast_is_that_of_the_start():
    bare = tuned().untrained().forecast(few(), ORIGINS)
    assert set(bare["recipe"]) == {"mine-untrained"}
    pd.testing.assert_frame_equal(bare[LEVELS], shipped(few())[LEVELS])


def test_a_tuning_uses_no_session_after_its_end():
    again = tune(spoilt_after(few(), END))
    assert again.files() == tuned().files()
    assert again.learnt() == tuned().learnt()


def test_a_tuning_reads_each_ticker_alone():
    made = recipe()
    table = table_of(fitted().shipped(made), few(20).until(END))
    shown = made.model.model_copy(update={"hide_panel": 0.0, "hide_market": 0.0})
    batch = Batches(table, shown, np.ones(len(table.sessions), bool), seed=1)[0]
    panel_known, market_known = batch.x[..., -4], batch.x[..., -3]
    assert market_known.any()
    assert not panel_known.any()


def test_a_restored_tuning_has_the_same_digits():
    found = tuned()
    files, state = found.files(), found.stored_state()
    back = recipe(start=None).restore(state, files, history=found.history)
    pd.testing.assert_frame_equal(back.forecast(few(), ORIGINS), found.forecast(few(), ORIGINS))
    pd.testing.assert_frame_equal(
        back.untrained().forecast(few(), ORIGINS), found.untrained().forecast(few(), ORIGINS)
    )
    assert back.files() == files
    assert back.stored_state() == state
    assert (back.fit_end, back.learns_from) == (found.fit_end, found.learns_from)


def test_a_tuning_is_the_same_again_and_after_any_interruption(monkeypatch: pytest.MonkeyPatch):
    for each in (module, settings):
        monkeypatch.setattr(each, "EPOCH", 2)
    whole = tune()
    assert whole.best_epochs == (2, 2)
    for stop_at in (1, 2, 3):
        watch = Recorder(stop_at)
        with pytest.raises(KeyboardInterrupt):
            tune(watch=watch)
        watch.stop_at = None
        resumed = tune(watch=watch)
        assert resumed.files() == whole.files(), stop_at
        assert resumed.learnt() == whole.learnt()
        assert len(watch.epochs) == 4
    assert recipe().work.networks == 2
    assert recipe().work.most == 2


def test_a_tuning_that_ends_before_its_start_is_refused():
    with pytest.raises(ConfigError, match=f"has seen .* a fit up to {ORIGINS[0]:%Y-%m-%d}"):
        tune(until=ORIGINS[0])


def test_a_tuned_network_can_be_tuned_again():
    again = replace(recipe(), start=None).starting_from(tuned()).fit(few(), ORIGINS[-1])
    before, _ = again.state.stretches
    assert np.array_equal(before.networks[0].kernel, tuned().state.stretches[1].networks[0].kernel)
    assert again.learns_from == END + pd.Timedelta(1, "D")


def test_as_many_sessions_as_are_asked_for_suffice():
    needed = LONG_WARM_UP + least_tuned(recipe().model)
    enough = panel_of(X=simulate_bars(needed, last=str(END.date())))
    assert tune(enough).forecast(enough, ORIGINS[-2:-1]).empty is False
    short = panel_of(X=simulate_bars(150, last=str(END.date())))
    with pytest.raises(NoDataError, match=rf"X: Expected at least {needed} .* Received: 150\."):
        tune(short)


@pytest.mark.parametrize(("tickers", "share"), [(1, 5 / 6), (5, 1 / 2), (20, 1 / 5)])
def test_what_is_common_counts_as_much_as_few_tickers_can_tell_it_from_their_own(
    tickers: int, share: float
):
    load_tensorflow()
    import tensorflow as tf

    residual = tf.ones((tickers, 6, 4))
    heads, error = tf.zeros((tickers, 6, 8)), tf.zeros((tickers, 6, 4))
    scales = [tf.ones(4), tf.zeros((4, len(member.LEVELS))), tf.ones(4)]

    def loss(residual, *, few: bool) -> float:
        return float(loss_of(heads, [residual, error, tf.ones((tickers, 6))], scales, few=few))

    none = loss(0 * residual, few=False)
    assert (loss(residual, few=False) - none) / 4 == pytest.approx(COMMON, rel=1e-4)
    assert (loss(residual, few=True) - none) / 4 == pytest.approx(share, rel=1e-4)


def test_the_weight_of_what_is_common_is_one_for_many_tickers():
    weight = 1 / (1 + 96 * COMMON_RATIO)
    assert weight == pytest.approx(COMMON, rel=0.02)


def test_a_watch_is_told_of_each_epoch():
    watch = Recorder()
    tune(watch=watch)
    assert sorted((epoch.member, epoch.epoch) for epoch in watch.epochs) == [(1, 1), (2, 1)]
    assert isinstance(watch, Silent)
