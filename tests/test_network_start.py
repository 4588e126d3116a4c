"""A network over windows that starts from another: what it takes over, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from test_forecasters import LEVELS, ORIGINS, UNTIL, H, bars, network, panel, shaken
from test_panel_network import fitted as fitted_panel
from test_panel_training import Recorder

from lstmcli.errors import ConfigError
from lstmcli.forecasters.baselines.har import Har
from lstmcli.forecasters.blend import Blend, FittedBlend
from lstmcli.forecasters.fitted_network import FittedNetwork
from lstmcli.forecasters.network import NetworkRecipe
from lstmcli.forecasters.training import TrainingConfig
from lstmcli.frames import check_forecast
from lstmcli.models import VARIANTS
from lstmcli.panel import Panel
from lstmcli.windows import WindowConfig

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("one_thread")]

END = bars().index[376]
TWO = TrainingConfig(epochs=2, members=2, learning_rate=0.01)


def recipe(scale: str = "ewma", **changes) -> NetworkRecipe:
    return network(label="mine", training=TWO, scale=scale, **changes)


def blend(of: NetworkRecipe) -> Blend:
    return Blend((of, Har(H, earnings=True, lags=True)), (0.5, 0.5))


@cache
def start(scale: str = "ewma") -> FittedNetwork:
    found = recipe(scale).fit(panel(), UNTIL)
    for _ in range(3):  # so far off that training helps
        found = shaken(found)
    return found


@cache
def other() -> Panel:
    return panel().with_(bars={"C": bars(5), "D": bars(6)})


@cache
def tuned(scale: str = "ewma") -> FittedNetwork:
    return recipe(scale).starting_from(start(scale)).fit(other(), END)


def weights(found: FittedNetwork) -> list[list[np.ndarray]]:
    return [each.get_weights() for each in found.networks]


@pytest.mark.parametrize("scale", ["ewma", "har"])
def test_it_goes_on_from_the_weights_of_the_start_in_its_units(scale: str):
    found, before = tuned(scale), start(scale)
    for name in ("mean", "scale", "base_quantiles", "volatility"):
        assert getattr(found.state, name) == getattr(before.state, name), name
    assert (found.state.volatility is None) == (scale == "ewma")
    # Epoch 0 is the start, which may win: then it is the start to the last digit.
    frozen = replace(recipe(scale), training=TWO.model_copy(update={"learning_rate": 1e-30}))
    same = frozen.starting_from(before).fit(other(), END)
    rows = same.forecast(other(), ORIGINS)
    check_forecast(rows)
    pd.testing.assert_frame_equal(rows, before.forecast(other(), ORIGINS))
    for one, two in zip(weights(found), weights(before), strict=True):
        assert all(np.abs(a - b).max() < 0.25 for a, b in zip(one, two, strict=True))
    assert max(found.best_epochs) > 0
    assert found.state.tickers == ("C", "D")


def test_the_untrained_forecast_is_that_of_the_start():
    found = tuned().untrained()
    rows, expected = found.forecast(other(), ORIGINS), start().forecast(other(), ORIGINS)
    assert set(rows["recipe"]) == {"mine-untrained"}
    pd.testing.assert_frame_equal(rows[LEVELS], expected[LEVELS])
    assert not np.allclose(rows[LEVELS], tuned().forecast(other(), ORIGINS)[LEVELS])


def test_errors_count_from_the_session_after_the_end_of_the_start():
    assert tuned().learns_from == UNTIL + pd.Timedelta(1, "D")
    assert tuned().fit_end == END
    late = recipe().starting_from(start()).fit(other(), bars().index[-1])
    assert late.learns_from == pd.Timestamp(late.state.blocks["calibration"][0])
    assert late.learns_from > UNTIL


def test_a_fit_is_the_same_after_an_interruption():
    whole, made = tuned(), recipe().starting_from(start())
    watch = Recorder(stop_at=1)
    with pytest.raises(KeyboardInterrupt):
        made.fit(other(), END, watch=watch)
    watch.stop_at = None
    resumed = made.fit(other(), END, watch=watch)
    assert resumed.learnt() == whole.learnt()
    for one, two in zip(weights(resumed), weights(whole), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("scale", ["ewma", "har"])
def test_a_blend_starts_from_the_network_of_a_blend(scale: str):
    from_network = blend(recipe(scale)).starting_from(start(scale))
    first = blend(recipe(scale)).fit(panel(), UNTIL)
    found = from_network.fit(other(), END)
    again = blend(recipe(scale)).starting_from(first).fit(other(), END)
    assert isinstance(found, FittedBlend)
    assert found.network.state.mean == start(scale).state.mean
    assert again.network.state.mean == first.network.state.mean
    back = blend(recipe(scale)).restore(found.stored_state(), found.files(), history=found.history)
    rows = found.forecast(other(), ORIGINS)
    pd.testing.assert_frame_equal(back.forecast(other(), ORIGINS), rows)


def test_a_fit_that_ends_before_its_start_is_refused():
    with pytest.raises(ConfigError, match=f"has seen .* a fit up to {bars().index[360]:%Y-%m-%d}"):
        recipe().starting_from(start()).fit(other(), bars().index[360])


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (
            r"features: Expected \[log_return, range\], as mine has.*: \[log_return\]",
            {"features": ("log_return",)},
        ),
        ("window.lookback: Expected 12, .*: 13", {"window": WindowConfig(lookback=13, horizon=H)}),
        ("window.horizon: Expected 4, .*: 5", {"window": WindowConfig(lookback=12, horizon=5)}),
        ("model.name: Expected lstm, .*: rnn", {"model": VARIANTS["rnn"](units=4)}),
        ("model.units: Expected 4, .*: 5", {"model": VARIANTS["lstm"](units=5)}),
        ("training.members: Expected 2, .*: 3", {"training": TrainingConfig(members=3)}),
        ("scale: Expected ewma, .*: har", {"scale": "har"}),
        (r"future: Expected \[\], .*: \[weekday\]", {"future": ("weekday",)}),
    ],
)
def test_a_start_of_another_shape_is_refused_by_what_differs(message: str, changes: dict):
    with pytest.raises(ConfigError, match=message):
        replace(recipe(), **changes).starting_from(start())
    with pytest.raises(ConfigError, match=message):
        blend(replace(recipe(), **changes)).starting_from(start())


def test_another_dropout_rate_and_other_epochs_are_no_trouble():
    model = VARIANTS["lstm"](units=4, dropout=0.5)
    made = replace(recipe(), model=model, training=TWO.model_copy(update={"epochs": 9}))
    assert made.starting_from(start()).start is start()


def test_a_panel_network_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="panel network: it reads whole histories"):
        recipe().starting_from(fitted_panel())


def test_a_start_without_its_members_is_a_bug():
    with pytest.raises(ValueError, match="loaded with its members"):
        recipe().starting_from(replace(start(), networks=()))
