"""Names of recipes as people read them, and every sentence about the live record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lstmcli.evaluation.ladder import NO_VERDICT
from lstmcli.evaluation.sequences import ALARM, Evidence
from lstmcli.forecasters.run_recipe import Work

NAMED = 5
"""Tickers that are named where something concerns many."""

CALIBRATED = "+calibrated"
"""What the name of a calibrated recipe ends in."""


def recipe_name(recipe: str, *, calibrated: bool) -> str:
    """Return the name of a recipe as users read it, such as `lstm+calibrated`."""
    return f"{recipe}{CALIBRATED}" if calibrated else recipe


def recipe_of(name: str) -> tuple[str, bool]:
    """Return the recipe that `recipe_name` named, and whether it is calibrated."""
    return name.removesuffix(CALIBRATED), name.endswith(CALIBRATED)


NOTE_ON_UNTESTED = (
    "The network was tested on US shares alone. How well it forecasts anything else is not known."
)
"""What to know of a forecast of something else than a US share by the network that ships."""


def note_on_short_history(sessions: int, needed: int) -> str:
    """Return what to know of a forecast from fewer sessions than the network reads."""
    return (
        f"{sessions} sessions are too few for the network, which reads {needed}. The ranges "
        "follow EWMA volatility."
    )


def joined_notes(*notes: str | None) -> str | None:
    """Return notes as one text, a line for each, which is a sentence; None without any."""
    found = [note if note.endswith(".") else f"{note}." for note in notes if note]
    if len(found) < 2:
        return next(filter(None, notes), None)
    return "\n".join(found)


def notes_by_ticker(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Return each note once, after the tickers that it concerns.

    Args:
        notes: pairs of a ticker and a note.
    """
    groups: dict[str, list[str]] = {}
    for ticker, note in notes:
        groups.setdefault(note, []).append(ticker)
    return [f"{some(tickers)}: {note}" for note, tickers in groups.items()]


def some(tickers: Sequence[str], comma: str = ", ") -> str:
    """Return the first tickers of many, and how many more there are."""
    more = f" and {len(tickers) - NAMED} more" if len(tickers) > NAMED else ""
    return f"{comma.join(tickers[:NAMED])}{more}"


def note_on_seen(made_on: str, fit_end: str) -> str:
    """Return what to know of a forecast by weights that were fitted on later sessions."""
    return (
        f"These weights have seen the years to {fit_end}, and this forecast is from {made_on}: "
        "a picture, no score."
    )


def untrained_members(best_epochs: Sequence[int]) -> str:
    """Return how many members of a network no epoch has made better, as a sentence."""
    left = list(best_epochs).count(0)
    return f"{left} of {len(best_epochs)} members stayed at epoch 0, the untrained baseline."


def duration(seconds: float) -> str:
    """Return a time as people say it: `20 seconds`, `2 minutes`, `1.5 hours`."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    if seconds < 55 * 60:
        minutes = round(seconds / 60)
        return "a minute" if minutes == 1 else f"{minutes} minutes"
    hours = round(seconds / 1800) / 2
    return "an hour" if hours == 1 else f"{hours:g} hours"


def training_work(work: Work, fits: int, tickers: int, known: tuple[float, str] | None) -> str:
    """Return what a training has to do, and how long it takes where that is known.

    Args:
        work: of one fit.
        known: the seconds that it should take, and the run that took as long.
    """
    if known is not None:
        seconds, run = known
        return f"this takes about {duration(seconds)}, as {run} did"
    count, epochs = work.networks * fits, work.most
    bound = "at most " if work.keeps_best else ""
    networks = f"{count} network{'s' * (count > 1)} of {bound}{epochs:,} epoch{'s' * (epochs > 1)}"
    on = f"{tickers:,} ticker{'s' * (tickers > 1)}"
    telling = "second" if epochs > 1 else "first"
    return f"training {networks} on {on}; the {telling} epoch tells how long it takes"


def time_to_come(
    seconds: float, *, networks: int, least: int, most: int, limit: float | None
) -> str:
    """Return how long the epochs of a training take, from the time of one.

    Args:
        seconds: of an epoch.
        networks: to train, each with `least` to `most` epochs.
        limit: seconds that it may take.
    """
    low, high = (networks * epochs * seconds for epochs in (least, most))
    high = high if limit is None else min(high, limit)
    low = min(low, high)
    rest = "scoring and saving come on top"
    if duration(low) == duration(high):
        return f"about {duration(high)} of epochs ({seconds:.2g} s each); {rest}"
    count = f"{networks} network{'s' * (networks > 1)} of {least} to {most} epochs"
    return f"{duration(low)} to {duration(high)}: {count} of {seconds:.2g} s; {rest}"


def live_phrase(word: str, evenings: float) -> str:
    """Return a word of the live table as users read it.

    Args:
        evenings: how many more it takes at least until there is another word.
    """
    return f"no verdict: {more_evenings(evenings)}" if word == NO_VERDICT else word


def more_evenings(count: float) -> str:
    """Return for how many evenings somebody has to wait, at least."""
    return f"{count:.0f} more evening{'s' * (count != 1)}"


def coverage_sentence(recipe: str, evidence: Evidence) -> str:
    """Return the evidence against the coverage of a published recipe, as one sentence."""
    recipe = recipe_name(recipe, calibrated=True)
    if evidence.alarmed_on is not None:
        return (
            f"ALARM: the intervals of {recipe} for the next session do not cover what they say "
            f"(evidence {evidence.highest:,.0f}; {ALARM:.0f} was reached on "
            f"{evidence.alarmed_on:%Y-%m-%d})."
        )
    return (
        f"No alarm about the cones of {recipe} for the next session: the evidence against them is "
        f"{evidence.value:.2f}, never above {evidence.highest:.2f}; {ALARM:.0f} would be one."
    )
