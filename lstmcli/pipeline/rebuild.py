"""Rebuild: make what evenings keep anew, and say whether the numbers are the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pandas as pd

from lstmcli.errors import DataError, LstmError
from lstmcli.forecasters.baselines.rebuild import rebuild
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.pipeline.doctor import Check
from lstmcli.pipeline.inputs import find_inputs, panel_of_run
from lstmcli.pipeline.kept import kept_calibration, kept_fits
from lstmcli.pipeline.session import Session

NAMED = 5
"""Tickers that a line names; of more it says how many."""


def rebuild_state(session: Session) -> list[Check]:
    """Make anew what evenings keep, fits of baselines and calibration, and write it.

    Raises:
        LockError: another process works in this workspace.
        DiskError: it cannot be written; the old one is unchanged.
    """
    return [*_fits(session), *_calibrations(session)]


def _fits(session: Session) -> list[Check]:
    store = session.workspace.fits
    with session.workspace.lock():
        tickers, kept = store.tickers(), kept_fits(session)
        count = sum(len(kept.of(ticker)) for ticker in tickers)
        bars = {ticker: _bars(session, ticker) for ticker in tickers}
        made = rebuild(kept, {name: own for name, own in bars.items() if own is not None})
        contents = made.fits.contents()
        for ticker in tickers:
            if ticker not in contents:
                store.forget(ticker)
        store.write(contents)
    if not count:
        return [Check("rebuilt", "nothing is kept; lstm daily keeps fits of baselines")]
    anew = sum(len(made.fits.of(ticker)) for ticker in contents)
    value = f"{anew:,} of {count:,} fits"
    return [_compared("rebuilt", value, store.folder, made.different, made.moved)]


def _calibrations(session: Session) -> list[Check]:
    """Learn anew what is kept of calibration; a line for each run."""
    store, checks = session.workspace.calibrations, []
    with session.workspace.lock():
        for run in store.runs():
            try:
                checks.append(_calibration(session, run, store.of(run).tickers()))
            except LstmError as error:
                checks.append(Check(f"calibration {run}", "not rebuilt", error))
    return checks


def _calibration(session: Session, run: str, tickers: Sequence[str]) -> Check:
    fitted, kept = session.fitted(run), kept_calibration(session, run)
    asked = []
    for ticker in tickers:
        with suppress(LstmError):  # its bars are gone, or of no use today
            asked.append(find_inputs(session, run, ticker, as_of=None))
    different: list[str] = []
    moved = {*tickers} - {inputs.ticker for inputs in asked}
    of_origin = attrgetter("origin")
    for _, group in groupby(sorted(asked, key=of_origin), of_origin):
        panel = panel_of_run(session, [*group])
        calibrated = FittedCalibrated(fitted, alone=fitted.recipe.alone)
        other, changed = calibrated.relearn(panel, kept)
        different += other
        moved.update(changed)
    session.workspace.calibrations.of(run).write(kept.changed)
    value = f"{len(kept.changed):,} of {len(tickers):,} tickers"
    path = session.workspace.calibrations.of(run).folder
    return _compared(f"calibration {run}", value, path, different, sorted(moved))


def _compared(
    name: str, count: str, path: Path, different: Sequence[str], moved: Sequence[str]
) -> Check:
    """Return the line of what was made anew.

    Args:
        different: tickers that have other numbers, from what was read before.
        moved: those of which something else is read now.
    """
    value = f"{count}, {'other' if different else 'the same'} numbers"
    if moved:
        value += f"; what they read has changed since: {_named(moved)}"
    if not different:
        return Check(name, value)
    error = DataError(
        f"{path}: Expected the numbers that are made anew. Received: other ones of "
        f"{_named(different)}. They have been replaced.",
        hint="lstm doctor --rebuild once more; other numbers again are a fault of lstm",
    )
    return Check(name, value, error)


def _bars(session: Session, ticker: str) -> pd.DataFrame | None:
    """Return the bars that forecasts may read; None where there are none."""
    try:
        return session.panel([ticker]).panel[ticker]
    except LstmError:
        return None


def _named(tickers: Sequence[str]) -> str:
    if len(tickers) > NAMED:
        return f"{' '.join(tickers[:NAMED])} and {len(tickers) - NAMED:,} more"
    return " ".join(tickers)
