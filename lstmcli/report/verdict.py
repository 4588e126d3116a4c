"""The verdict in sentences, and in the rows of a table."""

from __future__ import annotations

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
from lstmcli.report.announcements import dates_sentence
from lstmcli.report.wording import recipe_name

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
    """Return the verdict in sentences, on one line: both `paragraphs`."""
    return " ".join(paragraphs(verdict))


def paragraphs(verdict: Verdict) -> tuple[str, str]:
    """Return the answer, and how it was found.

    The answer says what a recipe beats, what it cannot be told from, what could have shown,
    and what it loses to.
    """
    return " ".join(_first_sentences(verdict)), " ".join(_details(verdict))


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
        said.append(
            f"{subject} cannot be told from {_listed(of[TIES])}. {_power(of[TIES], verdict)}."
        )
        subject = name
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
        return f"None of the forecasts of {name} has an outcome yet: there is no verdict."
    step, more = next(iter(verdict.missing.items()))
    are = "is" if verdict.origins == 1 else "are"
    return (
        f"A verdict on {name} needs {more:,} more evening{'s' * (more > 1)}: "
        f"{_sessions(verdict.origins)} {are} too few for a test {_sessions(step)} ahead."
    )


def _power(ties: Sequence[Row], verdict: Verdict) -> str:
    """Return the skill that the test would have found, as a sentence without its full stop."""
    count = verdict.tickers[0]
    span = f"{_sessions(verdict.origins)} of {'one ticker' if count == 1 else f'{count:,} tickers'}"
    needed = [row["detectable"] for row in ties]
    if min(needed) >= 1:
        return f"In {span}, no skill would show"
    return f"In {span}, only a skill above {_range(needed)} would show"


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
        f"not hold what they promise ({cone_phrase(worst)})"
    )


def _not_asked(rows: Sequence[Row]) -> str:
    """Return how much better or worse it was than baselines that the ladder did not reach."""
    found = []
    for word, sign in (("worse", -1), ("better", 1)):
        some = [row for row in rows if np.sign(row["skill"]) == sign]
        if some:
            by = _range([abs(row["skill"]) for row in some])
            found.append(f"{word} than {_listed(some)} by {by}")
    counts, these = ("that does not count", "this one")
    if len(rows) > 1:
        counts, these = ("neither counts" if len(rows) == 2 else "none counts"), "these"
    return (
        f"{' and '.join(found)}; {counts}, because the baselines are tested in a fixed order, and "
        f"the tests ended before {these}"
    )


def _details(verdict: Verdict) -> list[str]:
    steps = " and ".join(", ".join(map(str, verdict.steps)).rsplit(", ", 1))
    said = []
    if verdict.steps:
        fits = "" if verdict.fits is None else f", {_times(verdict.fits)}"
        share = f" ({verdict.shared} recipes share the 5 %)" if verdict.shared > 1 else ""
        said.append(
            f"Judged on {verdict.forecasts:,} forecasts {_sessions(verdict.steps[-1], steps)} "
            f"ahead, made on {_sessions(verdict.origins)} that it had not seen "
            f"({verdict.first:%Y-%m-%d} to {verdict.last:%Y-%m-%d}{fits}). The loss is CRPS in "
            f"units of volatility, the test is EWC on dates at {100 * verdict.alpha:.3g} % to each "
            f"side{share}."
        )
    waiting = [
        f"{_sessions(step)} ahead ({more:,} more needed)" for step, more in verdict.missing.items()
    ]
    if waiting and verdict.steps:
        said.append(f"Too few sessions for a test {joined(waiting)}.")
    hardest = verdict.ladder[verdict.ladder["baseline"] == verdict.hardest].to_dict("records")
    for row in hardest:
        if np.isfinite(row["skill"]):
            said.append(
                f"Skill against {plain_name(row['baseline'])}, the hardest baseline: "
                f"{_signed(row['skill'])} % ({100 * verdict.level:.4g} % interval "
                f"{_signed(row['low'])} to {_signed(row['high'])})."
            )
    count, better, worse = verdict.tickers
    if count > 1 and hardest and verdict.steps:
        said.append(
            f"Each ticker by itself, {_sessions(verdict.steps[0])} ahead: of {count:,} tickers "
            f"{better:,} are better than {plain_name(hardest[0]['baseline'])} and {worse:,} worse, "
            "beyond luck."
        )
    for row in verdict.ladder.to_dict("records"):
        if row["lacking"]:
            said.append(
                f"{row['baseline']} lacks {row['lacking']:,} of the forecasts and is compared on "
                "the others."
            )
    if verdict.dates is not None:
        said.append(dates_sentence(verdict.dates))
    if verdict.steps:
        shares = verdict.coverage.groupby("nominal")["coverage"].mean()
        held = [f"{100 * share:.0f} % cone {_share(shares[share])}" for share in COVERAGES]
        said.append(f"Outcomes inside: {joined(held)}.")
    said.append(f"Direction: {direction_sentence(verdict.direction)}.")
    return said


def direction_sentence(direction: Direction) -> str:
    """Return what is known about the direction of the median, without a full stop."""
    usual = "the usual direction of the training years"
    if direction.edge is None:
        known = "" if np.isnan(direction.usual) else f"; {usual} is right {_share(direction.usual)}"
        return f"nothing to test, the median always points the same way{known}"
    evidence = "evidence of an edge" if direction.edge else "no evidence of an edge"
    needed = needed_direction(_SESSIONS_A_YEAR)
    return (
        f"{evidence}, the median is right {_share(direction.right)} of the time, {usual} "
        f"{_share(direction.usual)} (a coin reaches {_share(needed)} in one year of forty)"
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
    "Skill: how much lower the loss is than the baseline's, in units of volatility; CRPS: the "
    "same in % of the price. 'shows': a skill of this size is told from luck four times out of "
    "five. 'shown': for comparison, never tested."
)


def _listed(rows: Sequence[Row]) -> str:
    return joined([plain_name(row["baseline"]) for row in rows])


def joined(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: `EWMA, GARCH and HAR`."""
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


def cone_phrase(row: Row) -> str:
    """Return how much a cone held, such as `at 20 sessions the 95 % cone held 98.1 %`."""
    held = f"the {100 * row['nominal']:.0f} % cone held {_share(row['coverage'])}"
    return f"at {_sessions(int(row['step']))} {held}"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"


def _sessions(step: int, shown: str | None = None) -> str:
    return f"{shown or format(step, ',')} session{'s' * (step > 1)}"


def _times(fits: int) -> str:
    return f"fitted {'once' if fits == 1 else f'{fits} times'}"
