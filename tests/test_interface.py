"""The Python interface: what `from lstmcli import …` gives, and what an import changes."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Lstm, stored
from simulate import simulate_bars

import lstmcli
from lstmcli import LstmError, interface
from lstmcli.errors import ConfigError, DataError, NoDataError
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS

FUNCTIONS = [name for name in lstmcli.__all__ if name != "LstmError"]


def fresh(script: str) -> str:
    """Return what a script prints in a process of its own.

    It inherits no variable: this process has imported the package already.
    """
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# What an import changes


@pytest.mark.process
def test_importing_the_package_waits_for_no_library():
    script = "import sys; before = set(sys.modules); import lstmcli; "
    loaded = fresh(script + "print(*sorted(set(sys.modules) - before))").split()
    own = {name for name in loaded if name.startswith("lstmcli")}
    assert own == {"lstmcli", "lstmcli.errors", "lstmcli.version"}
    assert not {"pandas", "numpy", "pydantic"} & set(loaded)


@pytest.mark.process
def test_importing_any_module_leaves_the_environment_as_it_was():
    package = Path(lstmcli.__file__).parent
    files = [path.relative_to(package.parent) for path in sorted(package.rglob("*.py"))]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files]
    # What imports Keras or numba is imported inside functions, as they are.
    late = ("lstmcli.models.layers", "lstmcli.models.kernel.")
    names = [name for name in names if not name.startswith(late)]
    script = f"""
import importlib, os
before = dict(os.environ)
for name in {names}:
    importlib.import_module(name)
    changed = dict(os.environ).items() ^ before.items()
    assert not changed, (name, changed)
"""
    fresh(script)


@pytest.mark.process
@pytest.mark.parametrize("user", ["", "import os; os.environ['ARCH_DISABLE_NUMBA'] = '0'"])
def test_a_garch_fit_leaves_the_environment_as_it_was(user):
    script = f"""
import os, sys
{user}
import numpy as np, pandas as pd
from lstmcli.evaluation.significance import model_confidence_set
from lstmcli.forecasters.volatility.garch import fit_garch
before = dict(os.environ)
draws = np.random.default_rng(1).normal(size=(400, 2))
fit_garch(pd.Series(draws[:, 0] / 100))
model_confidence_set(pd.DataFrame(draws ** 2, columns=["a", "b"]), 1)
assert dict(os.environ) == before
print("arch" in sys.modules, "numba" in sys.modules)
"""
    # Whoever wants numba, as a user who sets the variable does, gets it.
    assert fresh(script) == f"True {bool(user)}"


# Names


def test_the_public_names_are_those_of_the_interface():
    assert set(lstmcli.__all__) <= set(dir(lstmcli))
    for name in FUNCTIONS:
        assert getattr(lstmcli, name) is getattr(interface, name)
    assert issubclass(ConfigError, lstmcli.LstmError)
    with pytest.raises(AttributeError, match="'forecasts'"):
        lstmcli.forecasts  # noqa: B018


@pytest.mark.tensorflow
@pytest.mark.process
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_function_runs(name, workspace):
    function = getattr(lstmcli, name)
    (test,) = [
        test for test in doctest.DocTestFinder(recurse=False).find(function, name) if test.examples
    ]
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


# Runs and forecasts


@pytest.mark.process
def test_bars_are_read_up_to_the_last_settled_session(workspace, monkeypatch):
    assert lstmcli.read_bars("GOOG").index[-1] == pd.Timestamp("2008-10-14")
    monkeypatch.setenv("LSTM_NOW", "2008-10-14T12:00:00-04:00")
    assert lstmcli.read_bars("GOOG", workspace=workspace).index[-1] == pd.Timestamp("2008-10-13")


@pytest.mark.process
def test_a_run_is_loaded_by_its_name_or_as_the_newest(workspace):
    (folder,) = (workspace / "runs").iterdir()
    newest = lstmcli.load_run(tickers=["GOOG", "SIM"], workspace=str(workspace))
    assert newest.name == lstmcli.load_run(folder.name).name == folder.name
    assert newest.tickers == ("GOOG", "SIM")
    assert {"crps", "coverage80"} <= set(newest.scores["metric"])
    assert set(newest.history["fit"]) == {"scored", "final"}
    with pytest.raises(NoDataError, match="No run knows MRK"):
        lstmcli.load_run(tickers="MRK")


@pytest.mark.process
def test_a_forecast_is_that_of_the_command_and_nothing_is_written(workspace: Path, lstm: Lstm):
    before = stored(workspace)
    ahead = lstmcli.forecast(["SIM", "GOOG"])
    assert stored(workspace) == before
    assert list(ahead["ticker"].unique()) == ["SIM", "GOOG"]
    assert lstm("predict", "GOOG").code == 0
    (path,) = (workspace / "forecasts" / "2008-10-14").glob("GOOG-*.csv")
    written = pd.read_csv(path)
    own = ahead[ahead["ticker"] == "GOOG"]
    levels = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]
    prices = np.exp(own[levels].to_numpy()) * own[["last_close"]].to_numpy()
    np.testing.assert_allclose(prices, written[levels].iloc[: len(own)], rtol=1e-7)


@pytest.mark.process
def test_a_ticker_that_cannot_be_forecast_is_an_error(workspace):
    with pytest.raises(NoDataError, match="MRK"):
        lstmcli.forecast(["GOOG", "MRK"])
    with pytest.raises(NoDataError, match="There is no run 2007"):
        lstmcli.forecast("GOOG", run="2007")


@pytest.mark.parametrize("as_of", ["yesteryear", pd.Timestamp("2008-08-29", tz="UTC"), pd.NaT])
def test_forecast_wants_a_date(empty, as_of):
    with pytest.raises(ConfigError, match="Expected as_of as a date"):
        lstmcli.forecast("GOOG", as_of=as_of)


# Scores


@pytest.fixture(scope="module")
def ahead() -> pd.DataFrame:
    """Return a Forecast of SIM that has three steps, ten sessions before the last bar."""
    bars = simulate_bars(400)
    origin = bars.index[-11]
    levels = np.linspace(-0.05, 0.05, len(QUANTILE_COLUMNS))
    rows = {
        "recipe": "mine",
        "calibrated": False,
        "ticker": "SIM",
        "made_on": origin,
        "step": [1, 2, 3],
        "target_on": bars.index[-10:-7],
        "last_close": bars["close"].loc[origin],
        "sigma": 0.02,
    }
    return pd.DataFrame({**rows, **dict(zip(QUANTILE_COLUMNS, levels, strict=True))})


def test_forecasts_are_scored_where_they_have_an_outcome(ahead):
    bars = simulate_bars(400)
    scores = lstmcli.score(ahead, {"SIM": bars})
    assert set(scores["step"]) == {1, 2, 3}
    known = lstmcli.score(ahead, {"SIM": bars.loc[: ahead["target_on"].iloc[1]]})
    assert set(known["step"]) == {1, 2}
    pd.testing.assert_frame_equal(
        known.sort_values(["metric", "step"], ignore_index=True),
        scores[scores["step"] < 3].sort_values(["metric", "step"], ignore_index=True),
    )


def test_a_score_of_what_is_not_known_is_an_error(ahead):
    bars = simulate_bars(400)
    with pytest.raises(NoDataError, match="bars of a session that was forecast"):
        lstmcli.score(ahead, {"SIM": bars.loc[: ahead["made_on"].iloc[0]]})
    with pytest.raises(NoDataError, match="Expected the bars of SIM"):
        lstmcli.score(ahead, {"MRK": bars})
    with pytest.raises(DataError, match="Expected the columns"):
        lstmcli.score(ahead, {"SIM": bars[["close"]]})


def test_a_score_of_prices_or_of_another_table_is_an_error(ahead):
    bars = {"SIM": simulate_bars(400)}
    prices = ahead.copy()
    prices[list(QUANTILE_COLUMNS)] = 100 * np.exp(ahead[list(QUANTILE_COLUMNS)])
    with pytest.raises(LstmError, match="Received: positive ones only") as refused:
        lstmcli.score(prices, bars)
    assert refused.value.hint
    with pytest.raises(DataError, match="Expected made_on as datetime64"):
        lstmcli.score(ahead.astype({"made_on": str}), bars)
    with pytest.raises(DataError, match="This is no Forecast"):
        lstmcli.score(ahead.drop(columns="sigma"), bars)
