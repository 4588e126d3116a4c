"""The verdict in sentences, and in the rows of a table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.evaluation.direction import Direction, needed_direction
from lstmcli.evaluation.ladder import (
    BEATS,
    CONSTANT,
    EQUAL,
    LOSES,
    MIN_SKILL,
    NO_VERDICT,
    NOT_ASKED,
    SMALL,
    TIES,
    UNCOVERED,
)
from lstmcli.evaluation.verdict import Verdict
from lstmcli.frames import COVERAGES
from lstmcli.report.wording import recipe_name

_WIDTH = 79
"""Columns of a terminal that a headline fits into."""

_SESSIONS_A_YEAR = 252

_PLAIN = {
    "random_walk": "the random walk",
    "ewma": "EWMA",
    "garch": "GARCH",
    "gjr": "GJR-GARCH",
    "har": "HAR",
    "har_ridge": "the HAR ridge",
}

_CELLS = {TIES: "cannot tell", "": "shown"}
"""Words of the table, where they are not those of the numbers."""

_WHY = {SMALL: "too small", UNCOVERED: "cones off", EQUAL: "equal", CONSTANT: "constant"}

Row = Mapping[Any, Any]


def headline(verdict: Verdict) -> str:
    """Return the verdict in sentences, in lines of at most 79 columns.

    The first paragraph says what it beats, what it cannot be told from and what that would
    have taken, and what it loses to. The second says how that was found.
    """
    sentences = _first_sentences(verdict), _details(verdict)
    return "\n\n".join(_wrapped(" ".join(paragraph)) for paragraph in sentences)


def plain_name(baseline: str) -> str:
    """Return the name of a baseline inside a sentence, such as `the random walk`."""
    return _PLAIN.get(baseline, baseline)


def _first_sentences(verdict: Verdict) -> list[str]:
    subject = name = recipe_name(verdict.recipe, calibrated=verdict.calibrated)
    rungs = verdict.ladder[verdict.ladder["tested"]].to_dict("records")
    if not verdict.steps:
        return [_too_few(subject, verdict)]
    if not rungs:
        return [f"No verdict on {subject}: no baseline of the ladder was fitted."]
    of = {
        word: [row for row in rungs if row["word"] == word and not row["why"]]
        for word in (BEATS, TIES, LOSES, NOT_ASKED, NO_VERDICT)
    }
    said = []
    if of[BEATS]:
        said.append(f"{subject} beats {_listed(of[BEATS])}.")
        subject = "It"
    for row in rungs:
        if row["why"]:
            said.append(f"{subject} {_stop(row, verdict)}.")
            subject = "It"
    if of[TIES]:
        power, took = _power(of[TIES], verdict)
        if power:
            said.append(f"{power}.")
            subject = name
        said.append(f"{subject} cannot be told from {_listed(of[TIES])}{took}.")
        subject = "It"
    if of[LOSES]:
        by = _range([-row["skill"] for row in of[LOSES]])
        said.append(f"{subject} loses to {_listed(of[LOSES])}, by {by}.")
    if of[NOT_ASKED]:
        said.append(f"{subject} was {_not_asked(of[NOT_ASKED])}.")
    if of[NO_VERDICT]:
        said.append(f"No verdict against {_listed(of[NO_VERDICT])}: too few sessions in common.")
    return said


def _too_few(name: str, verdict: Verdict) -> str:
    if not verdict.missing:
        return f"No verdict on {name}: none of its forecasts has an outcome."
    step, more = next(iter(verdict.missing.items()))
    return (
        f"No verdict on {name}: {_sessions(verdict.origins)} say too little. A test at "
        f"{_sessions(step)} ahead needs {more:,} more evening{'s' * (more > 1)}."
    )


def _power(ties: Sequence[Row], verdict: Verdict) -> tuple[str, str]:
    """Return what a skill would have needed, as a sentence before or as words behind.

    Somebody who trains on one ticker reads first how little it can show.
    """
    needed = [row["detectable"] for row in ties]
    if min(needed) >= 1:
        would = "no skill would show"
        return (f"With {_span(verdict)} {would}", "") if _alone(verdict) else ("", f": {would}")
    needs = _range(needed)
    if _alone(verdict):
        return f"With {_span(verdict)} only a skill of {needs} would show", ""
    return "", f": it would have taken a skill of {needs} to show"


def _alone(verdict: Verdict) -> bool:
    return verdict.tickers[0] == 1


def _span(verdict: Verdict) -> str:
    return f"{_sessions(verdict.origins)} of one ticker"


def _stop(row: Row, verdict: Verdict) -> str:
    """Return why a baseline is not beaten, where it is not for the test."""
    name = plain_name(row["baseline"])
    match row["why"]:
        case "equal":
            return f"forecasts as {name} does: their losses are equal"
        case "constant":
            by = f"{100 * abs(row['skill']):.2f} %"
            side = "below" if row["skill"] > 0 else "above"
            return f"has a loss {by} {side} that of {name} on every date, which no test can judge"
        case "small":
            return f"is better than {name} by less than {_percent(MIN_SKILL)}, too little to matter"
    off = verdict.coverage[~verdict.coverage["kept"]]
    worst = off.loc[(off["coverage"] - off["nominal"]).abs().idxmax()]
    return (
        f"does not beat {name}, though its loss is {_percent(row['skill'])} lower: its cones do "
        f"not cover what they promise ({_cone(worst['nominal'], worst['coverage'])} at "
        f"{_sessions(int(worst['step']))})"
    )


def _not_asked(rows: Sequence[Row]) -> str:
    """Return how much better or worse it was than baselines that the ladder did not reach."""
    found = []
    for word, sign in (("worse", -1), ("better", 1)):
        some = [row for row in rows if np.sign(row["skill"]) == sign]
        if some:
            by = _range([abs(row["skill"]) for row in some])
            found.append(f"{word} than {_listed(some)} by {by}")
    claimed = "that is not" if len(rows) == 1 else "neither is" if len(rows) == 2 else "none is"
    return f"{' and '.join(found)}; {claimed} claimed, because the baselines are tested in order"


def _details(verdict: Verdict) -> list[str]:
    steps = " and ".join(", ".join(map(str, verdict.steps)).rsplit(", ", 1))
    said = []
    if verdict.steps:
        fits = "" if verdict.fits is None else f", {_times(verdict.fits)}"
        share = f" ({verdict.shared} recipes share the 5 %)" if verdict.shared > 1 else ""
        said.append(
            f"Judged on {_sessions(verdict.origins)}, {verdict.first:%Y-%m-%d} to "
            f"{verdict.last:%Y-%m-%d}{fits}, {_sessions(verdict.steps[-1], steps)} ahead: "
            f"{verdict.forecasts:,} forecasts, losses (CRPS) in units of volatility, EWC test on "
            f"dates at {100 * verdict.alpha:.3g} % to each side{share}."
        )
    waiting = [f"{more:,} more at {_sessions(step)}" for step, more in verdict.missing.items()]
    if waiting and verdict.steps:
        said.append(f"A test needs {_joined(waiting)} ahead.")
    hardest = verdict.ladder[verdict.ladder["baseline"] == verdict.hardest].to_dict("records")
    for row in hardest:
        if np.isfinite(row["skill"]):
            said.append(
                f"Skill against {plain_name(row['baseline'])}: {_signed(row['skill'])} % "
                f"({_signed(row['low'])} to {_signed(row['high'])})."
            )
    count, better, worse = verdict.tickers
    if count > 1 and hardest and verdict.steps:
        said.append(
            f"Of {count} tickers by themselves {better} are better and {worse} worse than "
            f"{plain_name(hardest[0]['baseline'])} at {_sessions(verdict.steps[0])}."
        )
    for row in verdict.ladder.to_dict("records"):
        if row["lacking"]:
            said.append(
                f"{row['baseline']} lacks {row['lacking']:,} of the forecasts and is compared on "
                "the others."
            )
    if verdict.steps:
        shares = verdict.coverage.groupby("nominal")["coverage"].mean()
        cones = ", ".join(_cone(share, shares[share]) for share in COVERAGES)
        said.append(f"Outcomes inside: {cones}.")
    said.append(f"Direction: {direction_sentence(verdict.direction)}.")
    return said


def direction_sentence(direction: Direction) -> str:
    """Return what is known about the direction of the median, without a full stop."""
    usual = f"the usual direction of the training years is right {_share(direction.usual)}"
    if direction.edge is None:
        known = "" if np.isnan(direction.usual) else f"; {usual}"
        return f"n/a, the median never changes its sign{known}"
    evidence = "evidence of an edge" if direction.edge else "no evidence of an edge"
    needed = needed_direction(_SESSIONS_A_YEAR)
    return (
        f"{evidence}, right {_share(direction.right)} where {usual} "
        f"(a year of days needs {_share(needed)} to tell from a coin)"
    )


def table_head(verdict: Verdict) -> list[str]:
    """Return the head of the table of a verdict."""
    return ["", "skill %", f"{100 * verdict.level:.4g} % interval", "CRPS %", "shows", "verdict"]


def table_rows(verdict: Verdict) -> list[list[str]]:
    """Return a row for each baseline: skill, interval, skill in plain CRPS, detectable, word."""
    rows = []
    for row in verdict.ladder.to_dict("records"):
        word = _WHY.get(row["why"]) or _CELLS.get(row["word"], row["word"])
        if not np.isfinite(row["skill"]):
            rows.append([row["baseline"], "", "", "", "", word])
            continue
        numbers = _signed(row["skill"]), f"{_signed(row['low'])} to {_signed(row['high'])}"
        shows = _percent(row["detectable"]).removesuffix(" %") if row["tested"] else ""
        rows.append([row["baseline"], *numbers, _signed(row["crps_skill"]), shows, word])
    return rows


TABLE_LEGEND = (
    "Skill: how much lower the loss is than the baseline's, in units of volatility;\n"
    "CRPS: the same in % of the price. 'shows': the skill that is told from luck\n"
    "four times out of five. 'shown': for comparison, never tested."
)


def _listed(rows: Sequence[Row]) -> str:
    return _joined([plain_name(row["baseline"]) for row in rows])


def _joined(names: Sequence[str]) -> str:
    return " and ".join(", ".join(names).rsplit(", ", 1))


def _range(shares: Sequence[float]) -> str:
    """Return one share in %, or the lowest and the highest."""
    low, high = _percent(min(shares)), _percent(max(shares))
    return high if low == high else f"{low.removesuffix(' %')} to {high}"


def _percent(share: float) -> str:
    digits = 0 if share >= 0.0995 else 1 if share >= 0.00095 else 2
    return f"{100 * share:.{digits}f} %"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _cone(nominal: float, coverage: float) -> str:
    return f"{100 * nominal:.0f} % cone {_share(coverage)}"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"


def _sessions(step: int, shown: str | None = None) -> str:
    return f"{shown or format(step, ',')} session{'s' * (step > 1)}"


def _times(fits: int) -> str:
    return f"fitted {'once' if fits == 1 else f'{fits} times'}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False)
