"""Runs that an earlier version made still load and give the same numbers.

A red test here means that users lose their runs: see `make_golden.py`.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from make_golden import GOLDEN, RUNS, read_forecast, workspace_of

from lstmcli.frames import QUANTILE_COLUMNS
from lstmcli.models import VARIANTS
from lstmcli.pipeline.session import Session
from lstmcli.store import Workspace
from lstmcli.store.runs import RunStore

pytestmark = pytest.mark.tensorflow

LEVELS = list(QUANTILE_COLUMNS)
NAMES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
every_golden_run = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("LSTM_NOW", "")  # put back what `workspace_of` sets
    return workspace_of(tmp_path / "data")


@cache
def golden(name: str) -> pd.DataFrame:
    return read_forecast(name)


@every_golden_run
def test_a_golden_run_still_gives_its_forecast(name, workspace):
    workspace.runs = RunStore(GOLDEN / name / RUNS)
    session = Session(workspace)
    manifest = session.latest(["A"])
    assert (manifest.variant, workspace.runs.interrupted()) == (name, [])
    fitted = session.fitted(manifest.run)
    panel = session.panel(["A"]).panel
    forecast = fitted.forecast(panel, panel["A"].index[-1:])
    assert forecast["step"].tolist() == golden(name)["step"].tolist() == [1, 2, 3, 4]
    columns = ["sigma", *LEVELS]
    np.testing.assert_allclose(forecast[columns], golden(name)[columns], rtol=1e-4, atol=1e-6)


@every_golden_run
def test_a_golden_run_has_learnt_something_of_its_own(name):
    for other in NAMES:
        difference = np.abs(golden(name)[LEVELS] - golden(other)[LEVELS]).to_numpy().max()
        assert other == name or difference > 1e-4


def test_golden_runs_are_small():
    sizes = [path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(sizes) < 1_500_000


def test_every_network_that_has_a_golden_run_is_still_there():
    # A network that is new gets its golden run when it is released.
    assert len(NAMES) >= 9
    assert set(NAMES) <= set(VARIANTS)


def test_golden_runs_are_not_overwritten_by_chance():
    before = {path: path.stat().st_mtime_ns for path in GOLDEN.rglob("*")}
    script = Path(__file__).with_name("make_golden.py")
    done = subprocess.run([sys.executable, script, *NAMES], capture_output=True, text=True)
    assert done.returncode == 1
    assert "--force replaces it" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in GOLDEN.rglob("*")} == before
