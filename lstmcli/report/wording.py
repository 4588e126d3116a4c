"""Every sentence that a person reads about a verdict or about the live record."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstmcli.evaluation.live import ALARM, MIN_OUTCOMES, Evidence
from lstmcli.evaluation.significance import MIN_ORIGINS_PER_STEP, needed_direction
from lstmcli.evaluation.verdict import LOSES, MIXED, NO_VERDICT, TIES, Direction, Verdict
from lstmcli.frames import COVERAGES

_WIDTH = 79
"""Columns of a terminal that a headline fits into."""

_SESSIONS_A_YEAR = 252


def recipe_name(recipe: str, *, calibrated: bool) -> str:
    """Return the name of a recipe as users read it, such as `lstm+calibrated`."""
    return f"{recipe}+calibrated" if calibrated else recipe


def headline(verdict: Verdict) -> str:
    """Return the verdict in sentences, in lines of at most 79 columns."""
    against = verdict.table[verdict.table["baseline"] == verdict.strongest]
    origins, forecasts = int(against["origins"].max()), int(against["forecasts"].sum())
    word = verdict.overall(verdict.strongest)
    if word == NO_VERDICT:
        needed = MIN_ORIGINS_PER_STEP * int(against["step"].min())
        return _wrapped(
            f"No verdict: {origins:,} origins say too little, "
            f"{needed} are needed at the shortest step."
        )
    names = verdict.table["baseline"].unique()
    # The strongest is not always the one that users ask about: "does it beat naive?"
    others = [name for name in ("random_walk",) if name in names and name != verdict.strongest]
    also = "".join(f", {_verb(verdict.overall(name))} {name}" for name in others)
    judged = against[against["word"] != NO_VERDICT]
    skills = "; ".join(_skill(row) for row in judged.to_dict("records"))
    name = recipe_name(verdict.recipe, calibrated=verdict.calibrated)
    sentences = [
        f"{name} {_verb(word)} {verdict.strongest}, the strongest of {len(names)} "
        f"baselines{also}: {forecasts:,} forecasts on {origins:,} sessions, "
        f"{verdict.first:%Y-%m-%d} to {verdict.last:%Y-%m-%d}.",
        f"Skill against {verdict.strongest} (CRPS): {skills}.",
    ]
    short = [str(step) for step in against.loc[against["word"] == NO_VERDICT, "step"]]
    if short:
        sentences.append(f"No verdict at {' and '.join(short)} sessions: too few origins.")
    count, better, worse = verdict.tickers
    if count > 1:
        sentences.append(
            f"Of {count} tickers by themselves, {better} are better and "
            f"{worse} worse at {_sessions(int(against['step'].min()))}."
        )
    shares = ", ".join(
        f"{share:.0%} cone {judged[f'coverage{share * 100:.0f}'].mean():.1%}" for share in COVERAGES
    )
    sentences.append(f"Outcomes inside: {shares}.")
    sentences.append(f"Direction: {direction_sentence(verdict.direction)}.")
    return _wrapped(" ".join(sentences))


def direction_sentence(direction: Direction) -> str:
    """Return what is known about the direction of the median, without a full stop."""
    base = f"always up is right {direction.always_up:.1%}"
    if direction.edge is None:
        known = "" if np.isnan(direction.always_up) else f"; {base}"
        return f"n/a, the median never changes its sign{known}"
    evidence = "evidence of an edge" if direction.edge else "no evidence of an edge"
    needed = needed_direction(_SESSIONS_A_YEAR)
    return (
        f"{evidence}, right {direction.right:.1%} where {base} "
        f"(a year of days needs {needed:.1%} to tell from a coin)"
    )


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as manifests keep it: JSON values, with its sentences."""
    direction = verdict.direction
    return {
        "recipe": verdict.recipe,
        "calibrated": verdict.calibrated,
        "strongest": verdict.strongest,
        "verdict": {name: verdict.overall(name) for name in verdict.table["baseline"].unique()},
        "headline": headline(verdict),
        "first": f"{verdict.first:%Y-%m-%d}",
        "last": f"{verdict.last:%Y-%m-%d}",
        "tickers": dict(zip(("count", "better", "worse"), verdict.tickers, strict=True)),
        "direction": {
            "right": _json_value(direction.right),
            "always_up": _json_value(direction.always_up),
            "p_value": direction.p_value,
            "independence": direction.independence,
            "verdict": direction_sentence(direction),
        },
        "steps": [
            {str(key): _json_value(value) for key, value in row.items()}
            for row in verdict.table.to_dict("records")
        ],
    }


def reminder(stored: Mapping[str, Any]) -> str:
    """Return a line on a verdict that was shown in full above.

    Args:
        stored: what `verdict_json` returned.
    """
    strongest = stored["strongest"]
    return f"verdict on the run: {stored['verdict'][strongest]} ({strongest}), see above"


def live_phrase(word: str) -> str:
    """Return a word of the live table as users read it."""
    return f"no verdict before {MIN_OUTCOMES}" if word == NO_VERDICT else word


def coverage_lines(recipe: str, evidence: Evidence) -> str:
    """Return the evidence against the coverage of a published recipe, in two lines."""
    recipe = recipe_name(recipe, calibrated=True)
    if evidence.alarmed_on is not None:
        return (
            f"ALARM: the intervals of {recipe} do not cover what they say\n"
            f"(evidence {evidence.highest:,.0f}, {ALARM:.0f} reached on "
            f"{evidence.alarmed_on:%Y-%m-%d})"
        )
    return (
        f"Evidence against the coverage of {recipe}: {evidence.value:.2f},\n"
        f"never above {evidence.highest:.2f}; {ALARM:.0f} would be an alarm."
    )


def coverage_sentence(recipe: str, evidence: Evidence) -> str:
    """Return the evidence against the coverage of a published recipe, as one sentence."""
    recipe = recipe_name(recipe, calibrated=True)
    if evidence.alarmed_on is not None:
        return (
            f"ALARM: the intervals of {recipe} do not cover what they say (evidence "
            f"{evidence.highest:,.0f}, since {evidence.alarmed_on:%Y-%m-%d}; "
            f"{ALARM:.0f} is the limit)."
        )
    return (
        f"No evidence against the coverage of {recipe}: {evidence.value:.2f}, and never "
        f"above {evidence.highest:.2f}; {ALARM:.0f} would be an alarm."
    )


def _skill(row: Mapping[Any, Any]) -> str:
    return (
        f"{row['skill'] * 100:+.2f} % at {_sessions(row['step'])} "
        f"({row['low'] * 100:+.2f} to {row['high'] * 100:+.2f}, p = {row['holm']:.2g})"
    )


def _verb(word: str) -> str:
    verbs = {
        LOSES: "LOSES to",
        TIES: "TIES with",
        MIXED: "BEATS and LOSES to",
        NO_VERDICT: "has no verdict against",
    }
    return verbs.get(word, word)


def _sessions(step: int) -> str:
    return f"{step} session{'s' * (step > 1)}"


def _json_value(value: Any) -> Any:
    """Return a JSON value; what is not a finite number is null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False)
