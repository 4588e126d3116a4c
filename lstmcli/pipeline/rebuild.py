"""Rebuild: make what evenings keep anew, and say whether the numbers are the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pandas as pd

from lstmcli.errors import DataError, LstmError
from lstmcli.forecasters.baselines.kept_fits import made_by, rebuild
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.frames import log_returns
from lstmcli.pipeline.doctor import Check
from lstmcli.pipeline.inputs import find_inputs, panel_of_run
from lstmcli.pipeline.kept import kept_calibration
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
    workspace = session.workspace
    with workspace.lock():
        kept = session.fits
        tickers = dict.fromkeys(ticker for ticker, _ in kept.known)
        returns = {ticker: _returns(session, ticker) for ticker in tickers}
        made = rebuild(kept, {name: of for name, of in returns.items() if of is not None})
        if kept.known:
            workspace.fits.write(made.fits.as_rows(), made_by())
    if not kept.known:
        return [Check("rebuilt", "nothing is kept; lstm daily keeps fits of GARCH")]
    value = f"{len(made.fits.known):,} of {len(kept.known):,} fits"
    return [_compared("rebuilt", value, workspace.fits.path, made.different, made.moved)]


def _calibrations(session: Session) -> list[Check]:
    """Learn anew what is kept of calibration; a line for each run."""
    store, checks = session.workspace.calibrations, []
    with session.workspace.lock():
        for run in store.runs():
            try:
                checks.append(_calibration(session, run, store.tickers(run)))
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
    session.workspace.calibrations.write(run, kept.changed)
    value = f"{len(kept.changed):,} of {len(tickers):,} tickers"
    path = session.workspace.calibrations.path(run)
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


def _returns(session: Session, ticker: str) -> pd.Series | None:
    """Return the log returns that forecasts may read; None where there are no bars."""
    try:
        bars = session.panel([ticker]).panel[ticker]
    except LstmError:
        return None
    return log_returns(bars).dropna()


def _named(tickers: Sequence[str]) -> str:
    if len(tickers) > NAMED:
        return f"{' '.join(tickers[:NAMED])} and {len(tickers) - NAMED:,} more"
    return " ".join(tickers)
