"""The verdict as manifests keep it, and what is read from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.ladder import (
    BEATS,
    CONSTANT,
    EQUAL,
    LOSES,
    NO_VERDICT,
    SMALL,
    TIES,
    UNCOVERED,
)
from lstmcli.evaluation.verdict import Verdict
from lstmcli.forecasters.baselines import LADDER
from lstmcli.report.verdict import (
    cone_phrase,
    direction_sentence,
    joined,
    paragraphs,
    plain_name,
)
from lstmcli.report.wording import recipe_name


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as manifests keep it: JSON values, with its sentences."""
    direction = verdict.direction
    rungs = verdict.ladder[verdict.ladder["tested"]]
    names = sorted(recipe_name(name, calibrated=own) for name, own in verdict.confident)
    return {
        "recipe": verdict.recipe,
        "calibrated": verdict.calibrated,
        "hardest": verdict.hardest,
        "verdict": dict(zip(rungs["baseline"], rungs["word"], strict=True)),
        "headline": " ".join(paragraphs(verdict)),
        "paragraphs": list(paragraphs(verdict)),
        "test": "EWC on dates",
        "loss": "CRPS / (EWMA volatility * sqrt(step))",
        "alpha": verdict.alpha,
        "level": verdict.level,
        "shared": verdict.shared,
        "fits": verdict.fits,
        "first": _date(verdict.first),
        "last": _date(verdict.last),
        "origins": verdict.origins,
        "forecasts": verdict.forecasts,
        "overlaps": {str(step): overlap for step, overlap in verdict.overlaps.items()},
        "missing": {str(step): more for step, more in verdict.missing.items()},
        "tickers": dict(zip(("count", "better", "worse"), verdict.tickers, strict=True)),
        "direction": {
            "right": _json_value(direction.right),
            "usual": _json_value(direction.usual),
            "p_value": direction.p_value,
            "independence": direction.independence,
            "edge": direction.edge,
            "verdict": direction_sentence(direction),
        },
        "announcements": None if verdict.dates is None else verdict.dates._asdict(),
        "confidence_set": names,
        "covers": verdict.covers,
        "ladder": _records(verdict.ladder),
        "steps": _records(verdict.table),
        "coverage": _records(verdict.coverage),
    }


def hardest_baseline(stored: Mapping[str, Any] | None) -> str | None:
    """Return the baseline that stands beside a forecast, from what `verdict_json` returned.

    Versions before 0.3 stored the one with the lowest CRPS instead.
    """
    stored = stored or {}
    return stored.get("hardest") or stored.get("strongest")


def stored_paragraphs(stored: Mapping[str, Any]) -> list[str]:
    """Return the answer, and how it was found, each on one line.

    Older versions stored both as one text, broken into lines.
    """
    kept = stored.get("paragraphs") or str(stored.get("headline", "")).split("\n\n")
    answer, *found = (" ".join(str(text).split()) for text in kept)
    unseen = stored.get("unseen")
    return [answer, *([_who_was_judged(unseen)] if unseen else []), *found]


def _who_was_judged(unseen: Mapping[str, Any]) -> str:
    """Return which fits have the scores that follow; see `_verdict_on_unseen`."""
    return (
        f"These scores are those of the same training to {_years(unseen)}, on "
        f"{unseen['tickers']:,} shares that it never saw. What forecasts was trained on "
        f"{trained_on(unseen)}."
    )


def trained_on(unseen: Mapping[str, Any]) -> str:
    """Return on what a network was trained that was judged on other tickers."""
    return f"{unseen['trained_on']:,} US shares to {unseen['fit_end']}"


def _years(unseen: Mapping[str, Any]) -> str:
    return joined([end[:4] for end in unseen["fit_ends"]])


def has_edge(stored: Mapping[str, Any] | None) -> bool | None:
    """Return whether there is evidence that the median knows the direction.

    None where there was nothing to test. Versions before 0.3 stored the sentence alone.
    """
    direction = (stored or {}).get("direction") or {}
    if "edge" in direction:
        return direction["edge"]
    said = str(direction.get("verdict", ""))
    return True if said.startswith("evidence") else False if said.startswith("no ") else None


def verdict_word(stored: Mapping[str, Any] | None) -> str:
    """Return the word on the hardest baseline, as the table of a verdict has it."""
    word = str(((stored or {}).get("verdict") or {}).get(hardest_baseline(stored), NO_VERDICT))
    return "cannot tell" if word == TIES else word


def short_verdict(stored: Mapping[str, Any] | None) -> str:
    """Return a verdict in a sentence or two: what it beats, and whether its cones held.

    Args:
        stored: what `verdict_json` returned, of any version; None of a run without one.
    """
    if not stored:
        return "This run has no verdict: an older version trained it."
    recipe = recipe_name(stored["recipe"], calibrated=bool(stored.get("calibrated")))
    parts = _short_phrases(stored)
    if not parts and "ladder" not in stored:
        word, name = verdict_word(stored), plain_name(str(hardest_baseline(stored)))
        return f"An older version found {recipe}: {word} against {name}."
    if not parts:
        return stored_paragraphs(stored)[0]
    unseen = stored.get("unseen")
    if unseen:
        return _verdict_on_unseen(unseen, stored, parts)
    sessions = stored.get("origins")
    tested = f" on {sessions:,} sessions that it had not seen" if sessions else ""
    return f"Tested{tested}: {recipe} {'; it '.join(parts)}.{_held(stored)}"


def _verdict_on_unseen(
    unseen: Mapping[str, Any], stored: Mapping[str, Any], parts: Sequence[str]
) -> str:
    """Return the verdict on a network that was judged on tickers that it never saw.

    Args:
        unseen: `trained_on` and `tickers` (how many), `fit_end` (of what forecasts) and
            `fit_ends` (of the fits that were judged), as ISO dates.
        parts: what it beats, and what not.
    """
    return (
        f"Trained on {trained_on(unseen)}. The same training to {_years(unseen)}, tested on "
        f"{unseen['tickers']:,} shares that it never saw, {'; it '.join(parts)}.{_held(stored)} "
        "These weights are judged by your ledger from now on."
    )


def _held(stored: Mapping[str, Any]) -> str:
    inside = [row["coverage"] for row in stored.get("coverage") or [] if row["nominal"] == 0.8]
    return f" Its 80 % range held {100 * np.mean(inside):.0f} % of the outcomes." if inside else ""


_PHRASES = {
    BEATS: "beats {}",
    EQUAL: "forecasts as {} does",
    SMALL: "is better than {} by too little to matter",
    UNCOVERED: "does not beat {}, because its cones do not hold what they promise",
    TIES: "cannot be told from {}",
    LOSES: "loses to {}",
}


def _short_phrases(stored: Mapping[str, Any]) -> list[str]:
    why = {row["baseline"]: row.get("why") for row in stored.get("ladder") or []}
    named: dict[str, list[str]] = {key: [] for key in _PHRASES}
    # A file may have them in another order.
    for baseline, word in sorted(stored["verdict"].items(), key=lambda pair: _rung(pair[0])):
        key = why.get(baseline) or word
        key = TIES if key == CONSTANT else key
        if key in named:
            named[key].append(plain_name(baseline))
    which = {UNCOVERED: _worst_cone(stored)}
    return [
        _PHRASES[key].format(joined(names)) + which.get(key, "")
        for key, names in named.items()
        if names
    ]


def _rung(baseline: str) -> int:
    return LADDER.index(baseline) if baseline in LADDER else len(LADDER)


def _worst_cone(stored: Mapping[str, Any]) -> str:
    """Return which cone holds least what it promises, in brackets; nothing where none is known."""
    off = [row for row in stored.get("coverage") or [] if row.get("kept") is False]
    if not off:
        return ""
    worst = max(off, key=lambda row: abs(row["coverage"] - row["nominal"]))
    return f" ({cone_phrase(worst)})"


def _date(day: pd.Timestamp) -> str | None:
    return None if pd.isna(day) else f"{day:%Y-%m-%d}"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _json_value(value) for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def _json_value(value: Any) -> Any:
    """Return a JSON value; what is not a finite number is null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
