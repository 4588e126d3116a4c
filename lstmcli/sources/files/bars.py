"""Bars of one ticker from the lines of a file; errors name these lines."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date

import numpy as np
import pandas as pd

from lstmcli.digits import in_words
from lstmcli.errors import DataError, shell_word
from lstmcli.frames import BAR_COLUMNS, broken_rules
from lstmcli.sources.base import Delivery, widen_ranges
from lstmcli.sources.checks.faults import SessionError, correct
from lstmcli.sources.distributions.settled import settled
from lstmcli.sources.exchanges import calendar_for, in_hundredths
from lstmcli.sources.files.dates import EXAMPLE
from lstmcli.sources.files.days import sessions_of
from lstmcli.sources.files.quotes import Quotes, listed

MAX_BREAKS = 0.05
"""Fraction of lines out of order from which on the file has no order."""

_DAILY = re.compile(r"^(1?d|1?day|daily|1440)$", re.IGNORECASE)


class FileBars:
    """Turns the quotes of one ticker into bars."""

    def __init__(self, file: str, ticker: str, quotes: Quotes, notes: list[str]) -> None:
        self.file = file
        self.ticker = ticker
        self.quotes = quotes
        self.notes = notes

    def delivery(
        self, start: date | None = None, allowed: Collection[pd.Timestamp] = ()
    ) -> Delivery:
        quotes = self.quotes
        if quotes.values.empty:
            raise DataError(f"{self.file}: Expected bars of {self.ticker}. Received: no line.")
        self._check_cells()
        calendar = calendar_for(self.ticker)
        sessions, notes = sessions_of(quotes.stamps, calendar, self.file, self.ticker)
        self.notes += notes
        table = quotes.values.set_axis(pd.DatetimeIndex(sessions, name="session"))
        table["line"] = quotes.values.index
        table = table[table.index.notna()]
        if start is not None:
            table = table[table.index >= np.datetime64(start)]
        table = self._once(table)
        if table.empty:
            return Delivery(table[[]].reindex(columns=list(BAR_COLUMNS)).astype(float))
        return Delivery(self._bars(table, allowed), notes=tuple(self.notes))

    def _bars(self, table: pd.DataFrame, allowed: Collection[pd.Timestamp]) -> pd.DataFrame:
        # IBKR writes −1 where there is no volume.
        table["volume"] = table["volume"].where(table["volume"] != -1, 0.0)
        lines = table.pop("line").astype(int)
        try:
            found = settled(
                table,
                self.ticker,
                allowed=allowed,
                in_hundredths=in_hundredths(self.ticker),
                fully_adjusted=self.quotes.fully_adjusted,
            )
        except SessionError as error:
            message = str(error).removeprefix(f"{self.ticker}: ")
            message = message.removeprefix(f"{error.session:%Y-%m-%d}: ")
            # Where only the prices can be corrected, the lines say where.
            hint = None if error.hint == correct([error.session, *error.others]) else error.hint
            others = [int(lines[session]) for session in error.others]
            line = int(lines[error.session])
            raise self._fault(line, message, others=others, hint=hint) from error
        self.notes += found.notes
        bars = widen_ranges(found.bars, self.ticker)
        self._check_values(bars, lines[bars.index].to_numpy())
        return bars

    def _check_cells(self) -> None:
        """Refuse cells that are no number or no date, all of them at once."""
        quotes = self.quotes
        wrong = {role: quotes.wrong[role] for role in quotes.wrong}
        wrong["date"] = quotes.stamps.wall.isna()
        if quotes.period is not None:
            wrong["period"] = ~quotes.period.str.fullmatch(_DAILY)
        faults = []
        for role, mask in wrong.items():
            if not mask.any():
                continue
            lines = mask.index[mask.to_numpy()]
            text = quotes.cells[role].loc[lines].iloc[0]
            expected = {"date": EXAMPLE, "period": "Expected daily bars, <PER> D"}.get(
                role, f"Expected a number as {role}"
            )
            more = _and_more(len(lines) - 1)
            faults.append((int(lines[0]), role, f"{expected}. Received: {str(text)!r}{more}."))
        if not faults:
            return
        faults.sort()
        line, role, _ = faults[0]
        share = wrong[role].mean()
        raise self._fault(
            line,
            " ".join(text for _, _, text in faults),
            others=[int(at) for at in wrong[role].index[wrong[role].to_numpy()][1:]],
            column=quotes.names.get(role, role) if share > 0.5 else None,
            role=role,
        )

    def _once(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the quotes in order of their sessions, each of these once."""
        values = [name for name in table if name != "line"]
        self._check_doubles(table, values)
        self._check_order(table)
        if not table.index.is_monotonic_increasing:
            table = table[::-1]
        table = table.sort_index(kind="stable")
        again = table.index.duplicated()
        if not again.any():
            return table
        self.notes.append(f"lines that were there twice: {again.sum()}")
        return table[~again]

    def _check_doubles(self, table: pd.DataFrame, values: list[str]) -> None:
        """Refuse sessions that are on several lines with other numbers, all at once."""
        twice = table.index.duplicated(keep=False)
        if not twice.any():
            return
        doubled = table[twice]
        kinds = doubled[values].fillna(0.0).round(10).reset_index().drop_duplicates()
        differing = kinds["session"][kinds["session"].duplicated()].unique()
        if len(differing):
            more = " …" if len(differing) > 3 else ""
            shown = [
                f"{day:%Y-%m-%d} ({listed(doubled.loc[day, 'line'].tolist())})"
                for day in pd.DatetimeIndex(differing[:3])
            ]
            line = int(doubled.loc[[differing[0]], "line"].max())
            raise DataError(
                f"{self.file}:{line}: {self.ticker} {pd.Timestamp(differing[0]):%Y-%m-%d}: "
                "Expected one line per session. Received: other numbers on the lines of "
                f"{len(differing)} session{'s' if len(differing) > 1 else ''}: "
                f"{', '.join(shown)}{more}.",
                hint="keep the right line of each in the file, then: "
                f"lstm fetch {shell_word(self.ticker)}",
            )

    def _check_order(self, table: pd.DataFrame) -> None:
        """Refuse single lines out of order: their dates are wrong, as a rule.

        Two downloads in one file, or lines in no order at all, are only said.
        """
        days = table.index.asi8
        steps = np.diff(days)
        if (steps >= 0).all() or (steps <= 0).all():
            return
        if np.median(np.sign(steps)) < 0:
            days, steps = -days, -steps
        breaks = np.flatnonzero(steps < 0) + 1
        # A line is out of order if the rest is in order without it or the line before it.
        ahead = np.append(days[1:], np.iinfo(np.int64).max)
        behind = np.concatenate([[np.iinfo(np.int64).min] * 2, days[:-2]])
        single = (ahead[breaks] > days[breaks - 1]) | (days[breaks] > behind[breaks])
        if len(breaks) > MAX_BREAKS * len(days) or not single.any():
            self.notes.append("the lines were not in order of their dates")
            return
        breaks = breaks[single]
        lines = table["line"].iloc[breaks].astype(int).tolist()
        raise self._fault(
            lines[0], "Expected dates in order; this one breaks it.", others=lines[1:]
        )

    def _check_values(self, bars: pd.DataFrame, lines: np.ndarray) -> None:
        for rule, broken in broken_rules(bars):
            if broken.any():
                row = int(np.flatnonzero(broken)[0])
                values = ", ".join(
                    f"{name} {in_words(bars[name].iloc[row])}" for name in BAR_COLUMNS
                )
                count = int(broken.sum())
                more = _and_more(count - 1)
                raise self._fault(int(lines[row]), f"{rule}: {values}{more}.")

    def _fault(
        self,
        line: int,
        message: str,
        *,
        others: list[int] | None = None,
        column: str | None = None,
        role: str = "",
        hint: str | None = None,
    ) -> DataError:
        day = self.quotes.cells["date"]
        day = day.loc[line] if line in day.index else ""
        which = listed([line, *(others or [])])
        if hint is None:
            hint = f"correct or delete {which}, then: lstm fetch {shell_word(self.ticker)}"
        if column is not None:
            hint = (
                f"most lines of the column {column!r} are so; another one: "
                f"lstm fetch {shell_word(self.ticker)} --columns {role}=NAME"
            )
        return DataError(f"{self.file}:{line}: {self.ticker} {day}: {message}", hint=hint)


def _and_more(count: int) -> str:
    """Return on how many more lines the same fault is."""
    return f", and on {count} more line{'s' if count > 1 else ''}" if count else ""
