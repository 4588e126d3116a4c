"""`lstm runs`: a list that fits a terminal, one run in full, several beside each other."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import hinted, run_folder, stored

from lstmcli.config import parse_config

pytestmark = pytest.mark.process

UNITS = ("units: 4", "units: 8")


def another_run(
    workspace: Path,
    *,
    replaced: tuple[str, str] = UNITS,
    outcomes: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
    **changes: Any,
) -> str:
    """Make a run of the next day from the first one, with other settings; return its name.

    Args:
        replaced: a text of its config, and what stands there instead.
        outcomes: changes what came of its forecasts.
        changes: of its manifest.
    """
    source = sorted((workspace / "runs").iterdir())[0]
    day = len(list((workspace / "runs").iterdir()))
    name = f"200810{14 + day}T220000Z-{source.name.partition('-')[2]}"
    folder = Path(shutil.copytree(source, source.with_name(name)))
    config = (folder / "config.yaml").read_text("utf-8")
    assert replaced[0] in config
    (folder / "config.yaml").write_text(config.replace(*replaced))
    path = folder / "outcomes.parquet"
    outcomes(pd.read_parquet(path)).to_parquet(path, index=False)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest |= {"run": name, **changes}
    for file in ("config.yaml", "outcomes.parquet"):
        manifest["files"][file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return name


def test_the_newest_run_comes_first_and_json_has_what_the_list_has(lstm, workspace):
    old = run_folder(workspace).name
    new = another_run(workspace)
    lines = lstm("runs").out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [new, old]
    told = json.loads(lstm("runs", "--json").out)["runs"]
    assert [run["run"] for run in told] == [old, new]  # scripts read the newest as the last
    rows = list(csv.DictReader(io.StringIO(lstm("runs", "--csv").out)))
    assert [row["run"] for row in rows] == [new, old]
    for row, run, line in zip(rows, told[::-1], lines[1:3], strict=True):
        assert row["config"] == run["config"] == "smoke"
        assert row["trained_to"] == run["trained_to"] == "2008-10-14"
        assert row["verdict"] == run["verdict_in_words"]
        assert row["verdict"] in line
        assert float(row["crps"]) == run["crps"]
        assert f"{100 * run['crps']:.3f}" in line
        assert row["tickers"].split() == run["tickers"] == ["GOOG", "SIM"]


def test_the_score_of_a_list_is_that_of_the_training(lstm, workspace, first_run):
    (run,) = json.loads(lstm("runs", "--json").out)["runs"]
    (row,) = (x for x in first_run["train"].out.splitlines() if x.startswith("smoke+calibrated  "))
    assert f"{100 * run['crps']:.3f}" == row.split()[1]
    # A run of version 0.2 keeps it in its table of scores alone.
    folder = run_folder(workspace)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest.pop("crps") == run["crps"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (again,) = json.loads(lstm("runs", "--json").out)["runs"]
    assert again["crps"] == pytest.approx(run["crps"], abs=1e-12)


@pytest.mark.parametrize("columns", [79, 80, 100, 120, 200])
def test_the_list_fits_the_terminal(lstm, workspace, monkeypatch, columns):
    many = [f"T{n}" for n in range(40)]
    name = another_run(workspace, tickers=many)
    monkeypatch.setenv("COLUMNS", str(columns))
    head, row, *_ = lstm("runs").out.splitlines()
    assert max(len(head), len(row)) <= columns
    assert "CRPS %" in head  # nothing goes on below
    cells = row.split()
    assert name.startswith(cells[0])
    assert json.loads(lstm("runs", "show", cells[0], "--json").out)["run"] == name
    assert "T0" in row
    assert "…" in row
    monkeypatch.delenv("COLUMNS")
    assert " ".join(many) in lstm("runs").out  # elsewhere than on a terminal nothing is cut


def test_a_run_is_shown_in_full(lstm, workspace, first_run):
    folder = run_folder(workspace)
    answer = lstm("runs", "show", "smoke")
    assert (answer.code, answer.err) == (0, "")
    # What the training has said of it, word by word.
    said = first_run["train"].out
    table = said.split("\n\n", 2)[2].partition("No epoch")[0].partition("1 of 1 members")[0]
    table = table.partition("Scores are of returns")[0].strip()
    assert table in answer.out
    settings = answer.out.partition("settings:\n\n")[2]
    unindented = "\n".join(line[2:] for line in settings.splitlines())
    written = (folder / "config.yaml").read_text("utf-8")
    assert parse_config(unindented, "shown") == parse_config(written, "written")
    facts = answer.out.partition("\n\n")[0]
    for fact in (folder.name, "GOOG SIM", "2008-10-14", "sample data"):
        assert fact in facts
    assert max(map(len, answer.out.partition("settings:")[0].splitlines())) <= 80


def test_a_run_in_json_has_its_settings_blocks_and_scores(lstm, workspace):
    told = json.loads(lstm("runs", "show", "smoke", "--json").out, parse_constant=pytest.fail)
    assert told["settings"]["model"]["units"] == 4
    assert set(told["blocks"]) == {"train", "validation", "calibration"}
    assert len(told["best_epochs"]) == 1
    test = told["scores"]["test"]["smoke+calibrated"]
    assert test["crps"] == pytest.approx(told["crps"], abs=1e-12)
    assert "smoke+calibrated" not in told["scores"]["validation"]


def better(table: pd.DataFrame) -> pd.DataFrame:
    """Return outcomes whose losses are a twentieth lower, now more and now less."""
    share = 0.05 + 0.02 * np.sin(np.arange(len(table)))
    return table.assign(crps=(table["crps"] * (1 - share)).astype("float32"))


def test_settings_that_differ_stand_beside_scores_on_the_sessions_shared(lstm, workspace):
    old, new = run_folder(workspace).name, another_run(workspace, outcomes=better)
    answer = lstm("runs", "compare", old[:16], new[:16])
    settings = answer.out.partition("setting ")[2].partition("\n\n")[0].splitlines()[1:]
    assert [line.split() for line in settings] == [["model.units", "4", "8"]]
    told = json.loads(lstm("runs", "compare", old, new, "--json").out, parse_constant=pytest.fail)
    assert told["settings"] == {"model.units": {old: 4, new: 8}}
    assert (told["differ"], told["tickers"], told["steps"]) == (
        None,
        ["GOOG", "SIM"],
        [1, 5, 10, 20],
    )
    # By hand, from the file.
    table = pd.read_parquet(workspace / "runs" / old / "outcomes.parquet")
    crps = table.groupby(["ticker", "step"])["crps"].mean().mean()
    scores = told["scores"][old]
    assert scores["crps"] == pytest.approx(float(crps), rel=1e-6)
    assert scores["coverage80"] == pytest.approx(table["in80"].mean(), abs=0.01)
    assert scores["skill"] is None
    assert told["scores"][new]["skill"] == pytest.approx(0.05, abs=0.01)
    assert told["scores"][new]["low"] > 0
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["CRPS", "%"] + [
        f"{100 * told['scores'][run]['crps']:.3f}" for run in (old, new)
    ] in rows
    assert ["better"] in rows
    assert told["sessions"]["count"] == table["made_on"].nunique()
    turned = lstm("runs", "compare", new, old).out
    assert ["worse"] in [line.split() for line in turned.splitlines()]


def test_the_outcomes_of_a_run_are_those_of_its_verdict(lstm, workspace):
    folder = run_folder(workspace)
    table = pd.read_parquet(folder / "outcomes.parquet")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    verdict = manifest["verdict"]
    assert [str(table["made_on"].min().date()), str(table["made_on"].max().date())] == [
        verdict["first"],
        verdict["last"],
    ]
    scaled = (table["crps"] / table["unit"]).groupby([table["step"], table["made_on"]]).mean()
    judged = [int(step) for step in verdict["overlaps"]]
    loss = scaled.unstack("step")[judged].dropna().mean(axis=1).mean()
    assert verdict["ladder"][0]["loss"] == pytest.approx(loss, rel=1e-5)


def test_runs_are_compared_on_what_all_were_scored_on(lstm, workspace):
    old = run_folder(workspace).name
    # Another ticker less, and other sessions.
    half = another_run(
        workspace, outcomes=lambda table: table[(table["ticker"] == "SIM")].iloc[40:]
    )
    told = json.loads(lstm("runs", "compare", old, half, "--json").out)
    assert told["tickers"] == ["SIM"]
    kept = pd.read_parquet(workspace / "runs" / half / "outcomes.parquet")
    assert told["sessions"]["count"] == kept["made_on"].nunique()
    assert told["sessions"]["first"] == str(kept["made_on"].min().date())
    # The same forecasts: no difference on what is shared.
    assert told["scores"][old]["crps"] == pytest.approx(told["scores"][half]["crps"], rel=1e-12)
    assert told["scores"][half]["skill"] == pytest.approx(0, abs=1e-12)


def test_a_run_without_a_series_lacks_that_of_the_other(lstm, workspace):
    old = run_folder(workspace).name
    new = another_run(workspace, replaced=("market: {}", 'market: {vix: "^VIX"}'))
    told = json.loads(lstm("runs", "compare", old, new, "--json").out)
    assert told["settings"] == {"market.vix": {old: None, new: "^VIX"}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {
                "test": ["2007-01-02", "2007-02-01", 1],
                "outcomes": lambda table: table.assign(
                    made_on=table["made_on"] - pd.Timedelta(900, "D")
                ),
            },
            "They were scored on different sessions: ",
        ),
        ({"outcomes": lambda table: table.assign(ticker="MRK")}, "scored on different tickers"),
        (
            {"outcomes": lambda table: table.assign(realised=table["realised"] + 0.01)},
            "the bars were others when each of them was scored",
        ),
    ],
)
def test_runs_that_share_no_outcome_have_no_scores_side_by_side(lstm, workspace, changes, why):
    old, new = run_folder(workspace).name, another_run(workspace, **changes)
    answer = lstm("runs", "compare", old, new)
    assert answer.code == 0
    assert why in " ".join(answer.out.split())
    assert "CRPS" not in answer.out
    assert "model.units" in answer.out
    told = json.loads(lstm("runs", "compare", old, new, "--json").out)
    assert (told["scores"], told["sessions"]) == ({}, None)
    assert why in told["differ"]


def test_a_run_of_an_older_version_has_settings_to_compare_alone(lstm, workspace):
    old, new = run_folder(workspace).name, another_run(workspace)
    folder = workspace / "runs" / old
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    del manifest["files"]["outcomes.parquet"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "outcomes.parquet").unlink()
    answer = lstm("runs", "compare", old, new)
    assert answer.code == 0
    assert f"{old} kept no outcomes: an older version trained it." in " ".join(answer.out.split())
    assert "model.units" in answer.out


def test_a_run_is_not_compared_with_itself(lstm, workspace):
    for names in (["smoke"], ["smoke", "2008"]):
        answer = lstm("runs", "compare", *names)
        assert (answer.code, answer.out) == (2, "")
        assert hinted(answer) == ["lstm runs"]


def test_equal_settings_are_said_to_be_the_same(lstm, workspace):
    old, new = run_folder(workspace).name, another_run(workspace, replaced=("seed", "seed"))
    assert "Their settings are the same." in lstm("runs", "compare", old, new).out


def test_a_beginning_names_a_run_for_every_command(lstm, workspace):
    run, new = run_folder(workspace).name, another_run(workspace)
    answer = lstm("predict", "GOOG", "--run", run[:16], "--json")
    assert json.loads(answer.out)["forecasts"][0]["run"] == run
    assert lstm("plot", "--kind", "training", "--run", new[:16], "-o", "t.svg").code == 0
    assert new in Path("t.svg").read_text("utf-8")
    several = lstm("predict", "GOOG", "--run", "smoke")
    assert (several.code, several.out) == (2, "")
    assert several.err.count("error: ") == 1
    assert all(name in several.err for name in (run, new))
    wrong = lstm("predict", "GOOG", "--run", f"{new}x")
    assert wrong.code == 3
    assert f"did you mean {new}? " in wrong.hint
    empty = lstm("predict", "GOOG", "--run", "")
    assert empty.code == 2


def test_a_list_changes_nothing(lstm, workspace):
    another_run(workspace)
    before = stored(workspace)
    lines = ("runs", "runs show 20081014", "runs compare 20081014 20081015", "runs --csv")
    for line in lines:
        assert lstm(*line.split()).code == 0, line
    assert stored(workspace) == before
