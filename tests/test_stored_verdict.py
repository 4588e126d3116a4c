"""Verdicts that manifests keep: read back whole, and in a few words."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from test_verdict import realised, verdict

from lstmcli.evaluation.known_dates import KnownDates
from lstmcli.evaluation.ladder import BEATS, LOSES, NO_VERDICT, NOT_ASKED, TIES
from lstmcli.evaluation.verdict import Verdict, judge, outcomes
from lstmcli.report.stored_verdict import restored_verdict, verdict_in_words
from lstmcli.report.verdict import headline, table_head, table_rows
from lstmcli.report.verdict_record import verdict_json

NAMES = ("two baselines", "a median that moves", "a baseline that lacks a ticker", "a long step")
NAMES += ("too few", "no outcome", "no baseline", "known dates", "calibrated")


def stored(found: Verdict) -> dict:
    """Return a verdict as it is read from a manifest."""
    return json.loads(json.dumps(verdict_json(found), allow_nan=False))


@cache
def verdicts() -> dict[str, Verdict]:
    """Return a verdict for each of NAMES."""
    rows = realised({"net": 1.0, "wide": 1.3, "random_walk": 1.5})
    moving = {"net": np.where(np.arange(1000) % 3, 0.02, -0.02)}
    directed = realised({"net": 1.0, "wide": 1.3}, tickers=1, medians=moving)
    lacking = rows[(rows["recipe"] != "wide") | (rows["ticker"] == "T0")]
    calibrated = rows.assign(calibrated=rows["recipe"] == "net")
    return {
        "two baselines": verdict(rows, "random_walk", "wide", fits=4),
        "a median that moves": verdict(directed, "wide"),
        "a baseline that lacks a ticker": verdict(lacking, "random_walk", "wide"),
        "a long step": verdict(realised({"net": 1.0, "wide": 1.3}, steps=(1, 200)), "wide"),
        "too few": verdict(realised({"net": 1.0, "wide": 1.3}, origins=5), "wide"),
        "no outcome": verdict(rows.iloc[:0], "wide"),
        "no baseline": verdict(rows),
        "known dates": replace(verdict(rows, "wide"), dates=KnownDates(1, 7)),
        "calibrated": judge(outcomes(calibrated), ["net"], ["wide"], calibrated=True)["net"],
    }


@pytest.mark.parametrize("what", NAMES)
def test_a_stored_verdict_is_read_back_whole(what):
    found = verdicts()[what]
    kept = stored(found)
    read = restored_verdict(kept)
    assert stored(read) == kept
    assert headline(read) == headline(found)
    assert (table_head(read), table_rows(read)) == (table_head(found), table_rows(found))
    assert read.dates == found.dates
    assert (read.steps, read.level, read.confident) == (found.steps, found.level, found.confident)
    assert read.ladder.dtypes.to_dict() == found.ladder.dtypes.to_dict() or not len(found.ladder)


def test_every_kind_of_verdict_is_read_back():
    assert set(verdicts()) == set(NAMES)


def test_a_verdict_of_before_its_edge_was_stored_has_the_same_sentence():
    for found in verdicts().values():
        kept = stored(found)
        del kept["direction"]["edge"]
        assert restored_verdict(kept).direction.edge == found.direction.edge


def test_a_verdict_of_before_the_ladder_is_not_restored():
    assert restored_verdict({"strongest": "har", "verdict": {"har": TIES}, "headline": "…"}) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"random_walk": BEATS, "ewma": BEATS, "garch": TIES}, "beats EWMA"),
        ({"random_walk": BEATS, "ewma": TIES, "har": LOSES}, "beats random walk, loses to HAR"),
        ({"random_walk": TIES, "ewma": LOSES, "har_ridge": LOSES}, "loses to EWMA"),
        ({"random_walk": TIES, "ewma": NOT_ASKED}, "cannot tell"),
        ({"random_walk": NO_VERDICT}, "no verdict"),
        # Version 0.1 judged every baseline, in no order.
        ({"har": TIES, "random_walk": BEATS, "drift": BEATS}, "beats random walk"),
        ({}, "no verdict"),
    ],
)
def test_a_verdict_in_a_few_words_names_both_ends(words, said):
    assert verdict_in_words({"verdict": words}) == said


def test_where_nothing_was_judged_there_is_no_verdict():
    assert verdict_in_words(None) == "no verdict"
