"""Fitted networks from the files of a run: the same numbers, and no code."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from test_forecasters import UNTIL, network, panel
from test_runs import HISTORY

from lstmcli.errors import DataError
from lstmcli.forecasters.baselines.har import Har
from lstmcli.forecasters.blend import Blend
from lstmcli.forecasters.network import FittedNetwork
from lstmcli.forecasters.network_state import state_bytes
from lstmcli.forecasters.run_recipe import FittedRun, RunRecipe
from lstmcli.models.files import load_network, network_bytes
from lstmcli.pipeline.saved import fitted_from
from lstmcli.store.runs import RunFiles, RunStore

pytestmark = pytest.mark.tensorflow

RUN = "20240308T120000Z-lstm-abababab"


@cache
def fitted() -> FittedNetwork:
    return network().fit(panel(), UNTIL)


def files(**changes) -> RunFiles:
    state = changes.pop("state", fitted().state)
    parts = {
        "config": "",
        "state": state_bytes(state),
        "fitted": fitted().files(),
        "history": HISTORY,
    }
    return RunFiles(**{**parts, **changes})


def load(content: RunFiles, recipe: RunRecipe | None = None) -> FittedRun:
    return fitted_from(content, recipe or network(), store=RunStore(Path("runs")), run=RUN)


def test_loaded_networks_forecast_as_they_did():
    loaded = load(files())
    assert loaded.state == fitted().state
    assert loaded.history is HISTORY
    origins = pd.DatetimeIndex([UNTIL])
    pd.testing.assert_frame_equal(
        loaded.forecast(panel(), origins), fitted().forecast(panel(), origins)
    )


def test_other_features_than_the_recipe_has_are_refused():
    with pytest.raises(DataError, match=r"columns log_return\. Received: log") as caught:
        load(files(), network(features=("log_return",)))
    assert caught.value.hint == f"train again: lstm train --config runs/{RUN}/config.yaml"


def test_networks_of_another_width_are_refused():
    state = fitted().state.model_copy(update={"features": ("log_return",)})
    with pytest.raises(DataError, match=r"networks with 1 feature columns\. Received: 2"):
        load(files(state=state), network(features=("log_return",)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fitted": {"network-01.keras": b"PK no network"}}, "a network does not load: ValueError"),
        ({"fitted": {"forecast.tflite": b"no export"}}, "its export does not load: ValueError"),
    ],
)
def test_files_that_do_not_load_are_told_by_their_run(changes, reason):
    with pytest.raises(DataError, match=rf"runs/{RUN} is damaged \({reason}\)") as caught:
        load(files(**changes))
    assert "lstm train" in caught.value.hint


def test_a_state_without_its_fields_is_refused():
    content = files()
    broken = RunFiles("", b"{}", content.fitted, HISTORY)
    with pytest.raises(DataError, match=r"is damaged \(its state: \d+ fields are wrong\)"):
        load(broken)


def test_a_blend_without_its_other_part_is_refused():
    both = Blend((network(), Har(4)), (0.5, 0.5))
    with pytest.raises(DataError, match=r"is damaged \(its state lacks the HAR of its blend\)"):
        load(files(), both)


def test_a_network_that_holds_code_is_refused(tmp_path):
    import keras

    done = tmp_path / "done"
    name = str(done)  # what is saved with the code that closes over it
    inputs = keras.Input((12, 2))
    code = keras.layers.Lambda(lambda x: open(name, "w").close() or x, output_shape=(12, 2))
    trap = network_bytes(keras.Model(inputs, code(inputs)))
    done.unlink(missing_ok=True)
    with pytest.raises(ValueError, match="Lambda"):
        load_network(trap)
    with pytest.raises(DataError, match="a network does not load") as caught:
        load(files(fitted={"network-01.keras": trap}))
    assert caught.value.exit_code == 6
    assert not done.exists()


def test_eleven_networks_keep_their_order():
    one, other = (network(seed=seed).fit(panel(), UNTIL).networks[0] for seed in (1, 2))
    many = replace(fitted(), networks=(*[one] * 9, other, one)).files()
    assert list(many) == [f"network-{member:02d}.keras" for member in range(1, 12)]
    loaded = load(files(fitted=dict(reversed(many.items()))))
    first = [member.get_weights()[0][0, 0] for member in loaded.networks]
    assert [value == first[0] for value in first] == [True] * 9 + [False, True]
