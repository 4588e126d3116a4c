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
RELEASED = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
every_variant = pytest.mark.parametrize("name", RELEASED)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("LSTM_NOW", "")  # put back what `workspace_of` sets
    return workspace_of(tmp_path / "data")


@cache
def golden(name: str) -> pd.DataFrame:
    return read_forecast(name)


@every_variant
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


@every_variant
def test_a_golden_run_has_learnt_something_of_its_own(name):
    for other in RELEASED:
        difference = np.abs(golden(name)[LEVELS] - golden(other)[LEVELS]).to_numpy().max()
        assert other == name or difference > 1e-4


def test_golden_runs_are_small():
    sizes = [path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(sizes) < 1_500_000
    # Those of 0.1. A variant that came later has one as soon as it is released.
    assert len(RELEASED) >= 9
    assert set(RELEASED) <= set(VARIANTS)


def test_golden_runs_are_not_overwritten_by_chance():
    before = {path: path.stat().st_mtime_ns for path in GOLDEN.rglob("*")}
    script = Path(__file__).with_name("make_golden.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "--force replaces them" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in GOLDEN.rglob("*")} == before
