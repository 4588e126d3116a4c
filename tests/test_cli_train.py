"""What `lstm train` answers, on a terminal and as JSON."""

from __future__ import annotations

import json

import pytest
from command import TINY

pytestmark = pytest.mark.process


def test_a_training_answers_with_its_scores_and_its_verdict(lstm, workspace):
    answer = lstm("train", "SIM", *TINY, "--set", "training.refit=false", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out, parse_constant=pytest.fail)
    assert told["schema"] == 2
    shown = json.loads(lstm("runs", "show", told["run"], "--json").out)
    for key in ("config", "folder", "tickers", "parameters", "best_epochs", "crps", "verdict"):
        assert told[key] == shown[key], key
    assert told["scores"] == shown["scores"]
    assert told["test"] == shown["test"][:2]
    assert (told["evaluations"], told["horizon"]) == (2, 20)
    # Progress goes to stderr, as ever.
    assert "saved " in answer.err


def test_a_training_answers_first_and_shows_its_numbers_then(lstm, workspace):
    answer = lstm("train", "SIM", *TINY)
    assert answer.code == 0, answer.err
    head, first, *rest = answer.out.split("\n\n")
    assert head.startswith("smoke on SIM: ")
    assert first.startswith("Tested on ")
    assert "HAR" in first
    assert "valid" in rest[0]
    told = " ".join(answer.out.split())
    assert "epoch was better" not in told or "In the final fit no epoch was better" in told


def test_an_error_of_a_training_is_json_too(lstm, workspace):
    answer = lstm("train", "MRK", "--json")
    assert (answer.code, answer.out) == (3, "")
    (line,) = (line for line in answer.err.splitlines() if line.startswith("{"))
    assert json.loads(line)["exit_code"] == 3


def test_a_dry_run_has_no_answer_in_json(lstm, workspace):
    answer = lstm("train", "SIM", *TINY, "--dry-run", "--json")
    assert (answer.code, answer.out) == (2, "")
