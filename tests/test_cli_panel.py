"""The panel network by its commands: trained briefly, and asked for what it knows."""

from __future__ import annotations

import csv
import io
import json
import subprocess

import pytest
from command import LAST, LSTM, environment
from simulate import simulate_bars

pytestmark = [pytest.mark.process, pytest.mark.tensorflow]

SHORT = [
    *("--config", "panel", "--set", "model.batches=2", "--set", "training.members=1"),
    *("--set", "window.horizon=5", "--set", "model.units=4", "--set", "model.hidden=4"),
]


def lstm(folder, *words, code=0):
    """Run a command in a process of its own, in a folder that holds the workspace."""
    done = subprocess.run(
        [*LSTM, *map(str, words)],
        cwd=folder,
        env=environment(folder / "data"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tickers of the sample, and what a short training of them said."""
    folder = tmp_path_factory.mktemp("panel")
    for seed, name in enumerate(("SIM", "SAM")):
        bars = simulate_bars(1100, seed=seed, last=LAST).rename_axis("Date")
        bars[["open", "high", "low", "close", "volume"]].to_csv(folder / f"{name}.csv")
        lstm(folder, "fetch", name, "--source", "csv", "--file", f"{name}.csv")
    (folder / "said.txt").write_text(lstm(folder, "train", *SHORT).stderr)
    return folder


def run_of(folder):
    (run,) = (folder / "data" / "runs").iterdir()
    return run


def rows(folder, *tickers):
    text = lstm(folder, "predict", *tickers, "--csv", "-q").stdout
    found = csv.DictReader(io.StringIO(text))
    return [row for row in found if row["ticker"] == "SIM" and row["recipe"] == "panel"]


def test_a_training_says_nothing_of_best_epochs(folder):
    said = (folder / "said.txt").read_text()
    assert "training 10 networks of 1 epoch on 2 tickers; the first epoch tells" in said
    assert "best: epoch" not in said
    assert "at most" not in said
    shown = lstm(folder, "runs", "show", run_of(folder).name).stdout
    assert "1 of each network; none stops early" in shown
    assert "best epochs" not in shown


def test_a_ticker_is_forecast_alike_whichever_are_named(folder):
    alone = rows(folder, "SIM")
    assert len(alone) == 5
    assert alone == rows(folder, "SAM", "SIM")


def test_the_blocks_of_a_dry_run_have_no_validation_of_the_final_fit(folder):
    shown = lstm(folder, "train", *SHORT, "--dry-run").stdout
    blocks = [line.split()[:2] for line in shown.splitlines() if line[:6] in ("scored", "final ")]
    assert blocks == [
        ["scored", "train"],
        ["scored", "validation"],
        ["scored", "test"],
        ["final", "train"],
    ]
    assert "each forecast by networks that have not seen it" in " ".join(shown.split())


def test_a_forecast_of_a_past_session_blames_no_bars(folder):
    said = lstm(folder, "predict", "SIM", "--as-of", "2008-06-30").stderr
    assert "from 2008-06-30: a picture, no score" in said
    assert "have changed" not in said


def test_damaged_arrays_are_named_and_nothing_else_is_lost(folder):
    file = run_of(folder) / "panel.npz"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[: len(whole) // 2])
        failed = lstm(folder, "predict", "SIM", "--json", code=6)
    finally:
        file.write_bytes(whole)
    (line,) = (line for line in failed.stderr.splitlines() if line.startswith("{"))
    told = json.loads(line)
    assert "panel.npz is damaged" in told["error"]
    assert "lstm train" in told["hint"]
    assert len(rows(folder, "SIM")) == 5
