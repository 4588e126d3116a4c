"""Make tests/golden: a small run of every network, and the forecast that it gave.

    python tests/make_golden.py [NAME]... [--force]

`test_golden.py` loads these runs with today's program. They stand for the runs that
users have on disk: make them anew only for a change of format that is meant, and
say so in the changelog. Without a NAME, networks that have no golden run yet get one.
`--force` replaces what is there.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from simulate import simulate_bars
from test_forecasters import small_settings

from lstmcli.config import parse_config, write_yaml
from lstmcli.frames import QUANTILE_COLUMNS
from lstmcli.models import VARIANTS
from lstmcli.models.runtime import load_tensorflow
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.predict import predict
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.train import start_run, train
from lstmcli.pipeline.training_plan import plan_training
from lstmcli.sources import CsvSource
from lstmcli.store import Workspace

GOLDEN = Path(__file__).parent / "golden"
BARS = "A.csv"
RUNS = "runs"
FORECAST = "forecast.csv"
NOW = "2017-01-01T00:00:00+00:00"
"""After the last of the simulated bars."""


def workspace_of(folder: Path) -> Workspace:
    """Return a workspace in `folder` that holds the golden bars."""
    os.environ["LSTM_NOW"] = NOW
    workspace = Workspace(folder)
    source = CsvSource(file=GOLDEN / BARS)
    (result,) = fetch(Session(workspace), ["A"], source=source, calendar="XNYS")
    assert result.error is None, result.error
    return workspace


def make_bars() -> None:
    """Write the bars, so that no later random generator or calendar can change them.

    Their returns persist: a network that had nothing to learn would forecast what
    every other one does, and a run of it would prove nothing.
    """
    noise = np.random.default_rng(0).standard_normal(300)
    returns = 0.004 * np.array([noise[: n + 1] @ 0.9 ** np.arange(n, -1, -1) for n in range(300)])
    bars = simulate_bars(300, returns=returns).round(4).rename_axis("Date")
    bars[["open", "high", "low", "close", "volume"]].to_csv(GOLDEN / BARS, lineterminator="\n")


def config_of(name: str) -> str:
    """Return the YAML of a run that is small and trains in a second."""
    model = {"name": name, **small_settings(name)}
    return (
        f"seed: 7\nfeatures: [log_return, range]\nmodel: {write_yaml(model)}\n"
        "window: {lookback: 12, horizon: 4}\n"
        "split: {validation: 30, calibration: 10, test: 30}\n"
        "training: {epochs: 1, batch_size: 8, members: 1, learning_rate: 0.03, refit: false}\n"
    )


def make(name: str, folder: Path) -> None:
    """Train one network in `folder` and put its run and its forecast into tests/golden."""
    workspace = workspace_of(folder)
    session = Session(workspace)
    plan = plan_training(session, parse_config(config_of(name), name), ["A"])
    run = start_run(session, plan)
    train(session, plan, run, on_epoch=lambda epoch: None, on_stage=lambda stage: None)
    (prediction,), _ = predict(session, ["A"])
    if prediction.fitted.state.best_epochs != (1,):
        raise SystemExit(f"{name} has learnt nothing in its epoch")
    target = GOLDEN / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(workspace.runs.folder, target / RUNS)
    columns = ["step", "sigma", *QUANTILE_COLUMNS]
    prediction.forecast[columns].to_csv(target / FORECAST, index=False, lineterminator="\n")


def read_forecast(name: str) -> pd.DataFrame:
    """Return the log returns that a golden run gave when it was made."""
    return pd.read_csv(GOLDEN / name / FORECAST)


def main() -> None:
    force = "--force" in sys.argv[1:]
    lacking = [name for name in VARIANTS if force or not (GOLDEN / name).exists()]
    wanted = [name for name in sys.argv[1:] if name != "--force"] or lacking
    kept = [] if force else [name for name in wanted if (GOLDEN / name).exists()]
    if kept or not wanted:
        sys.exit(f"{', '.join(kept) or 'every network'} has a golden run; --force replaces it")
    load_tensorflow()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it counts nine networks as one that is traced too often
    GOLDEN.mkdir(exist_ok=True)
    if force or not (GOLDEN / BARS).exists():
        make_bars()
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            make(name, Path(folder))
        print(name)  # noqa: T201


if __name__ == "__main__":
    main()
