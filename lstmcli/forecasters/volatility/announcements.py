"""What announcements of results say of the sessions ahead, for each session of a ticker.

A report moves the session that hears of it several times as much as usual. Where its date is
known, so is the session. Past reports of the same ticker say how much.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcli.features.announcements import known_spans
from lstmcli.forecasters.volatility.clock import Days, panel_days
from lstmcli.forecasters.volatility.regressors import unusual
from lstmcli.frames import ASSUMED, ASSUMED_AHEAD, EARNINGS, Section
from lstmcli.panel import Panel

AHEAD = 20
"""Sessions ahead in which a report counts."""

SOON = ASSUMED_AHEAD
"""Sessions ahead in which it may be known that no report comes, though the next date is not."""

BEHIND = 5
"""Sessions after a report that are told from later ones."""

REMEMBERED = 500
"""Sessions whose reports say how the ticker reacts."""

PRIOR = 2.0
"""Reports that the mean reaction of all tickers counts as, beside those of one."""

QUIET_DAYS = 42
"""Days after a report in which no other is to come within `AHEAD` sessions: 13 weeks lie
between two."""

QUARTER_DAYS = 100
"""Days after a report in which the next is due; a source that did not name it says nothing."""

FURTHEST = 200
"""Days ahead to which a date that is known says that no other comes before it."""

LONGEST_SINCE = 130
"""Sessions since a report beyond which no difference is made."""

DATES_BEHIND = ("date_today", "date_past_6", "date_since")
"""Those that say what lies behind the session."""

DATE_COLUMNS = (
    *(f"date_{h}" for h in range(1, AHEAD + 1)),
    *(f"date_ahead_{h}" for h in range(1, SOON + 1)),
    "date_ahead_6_10",
    "date_ahead_11_20",
    *DATES_BEHIND,
)
"""Columns of `dates_of`."""


class Reaction(Section):
    """How much more than usual sessions move that hear of a report, over all tickers.

    Attributes:
        first: mean logarithm of the variance of the session on the day of a report, in units of
            the usual one.
        second: that of the session after it.
    """

    first: float = 0.0
    second: float = 0.0


@dataclass(frozen=True)
class Dates:
    """What is known of a ticker's announcements at the close of each session.

    Attributes:
        columns: (T,) each of `DATE_COLUMNS`; NaN where nothing is known.
        ahead: (T,) for how many sessions it is known which hear of a report: 0, `SOON`, `AHEAD`.
        ahead_soon: (T,) the same if each date had become known `SOON` sessions ahead.
    """

    columns: dict[str, np.ndarray]
    ahead: np.ndarray
    ahead_soon: np.ndarray


def reported_sizes(
    events: pd.DataFrame, days: Days, size: pd.Series
) -> tuple[np.ndarray, np.ndarray]:
    """Return how unusual the first and the second session of each report were, (n,) each.

    Args:
        events: announcements of one ticker.
        size: by session, the logarithm of variance in units of the usual one; `range` of
            `regressors.unusual`.
    """
    every = size.reindex(days.sessions).to_numpy(float)
    reports = _reports(known_spans(events), days)
    at = np.unique(reports.position[reports.position >= 0])
    at = at[at + 1 < len(every)]
    first, second = every[at], every[at + 1]
    known = np.isfinite(first) & np.isfinite(second)
    return first[known], second[known]


def fit_reaction(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> Reaction:
    """Return the mean reaction over all tickers; 0 where there is no report."""
    found = list(parts)
    if not found:
        return Reaction()
    first, second = (np.concatenate(each) for each in zip(*found, strict=True))
    if not len(first):
        return Reaction()
    return Reaction(first=float(first.mean()), second=float(second.mean()))


@dataclass(frozen=True)
class _Reports:
    """Spans in which E dates were known, in positions among the days of a calendar.

    Attributes:
        position: (E,) of the session of the day of the report.
        reacts: (E,) of the session that reacts first.
        first, second: (E,) whether the session of the day, and the one after it, may react.
        since, until: (E,) days: known at closes from the first to the one before the second.
        session: (E,) the day of the session that reacts first.
        assumed: (E,) whether `since` is an assumption.
    """

    position: np.ndarray
    reacts: np.ndarray
    first: np.ndarray
    second: np.ndarray
    since: np.ndarray
    until: np.ndarray
    session: np.ndarray
    assumed: np.ndarray


def _reports(spans: pd.DataFrame, days: Days) -> _Reports:
    spans = spans[spans["session"] >= days.sessions[0]]
    session = spans["session"].to_numpy("datetime64[D]")
    reacts = np.searchsorted(days.sessions.to_numpy("datetime64[D]"), session)
    timing = spans["timing"].to_numpy(str)
    after = timing == "after"
    return _Reports(
        position=reacts - after,
        reacts=reacts,
        first=~after,
        second=after | (timing == "unknown"),
        since=spans["since"].to_numpy("datetime64[D]"),
        until=spans["until"].to_numpy("datetime64[D]"),
        session=session,
        assumed=np.array([source.endswith(ASSUMED) for source in spans["source"]], bool),
    )


def dates_of(events: pd.DataFrame, days: Days, size: pd.Series, reaction: Reaction) -> Dates:
    """Return what is known of announcements at each session of a ticker.

    Equation: w(k) = exp(m) where session t + k hears of a report, else 1; m = (Σ s + 2·M)/(n + 2),
    s the logarithm of variance in units of the usual one on the n past reports of 500 sessions,
    M its mean over all tickers. `date_h` = ln of the mean of w over t + 1 … t + h.
    Source: Dubinsky, Johannes, Kaeck, Seeger (2019), Option Pricing of Earnings Announcement
    Risks, Review of Financial Studies 32: a report adds a known amount of variance on a known
    session.

    Args:
        events: announcements of the ticker.
        days: of its calendar, `AHEAD` sessions after the last bar included.
        size: (T,) by session of the ticker; see `reported_sizes`.
    """
    if not len(events):
        nothing = np.zeros(len(size), int)
        return Dates({name: np.full(len(size), np.nan) for name in DATE_COLUMNS}, nothing, nothing)
    sessions = pd.DatetimeIndex(size.index)
    at, day = days.origins(sessions), sessions.to_numpy("datetime64[D]")
    reports = _reports(known_spans(events), days)
    learnt = np.searchsorted(day, reports.since)  # rows at which it is known: from … to
    gone = np.searchsorted(day, reports.until)
    every = size.reindex(days.sessions).to_numpy(float)
    means = [
        _mean_reaction(every, reports.position + later, at, learnt, gone, prior)
        for later, prior in ((0, reaction.first), (1, reaction.second))
    ]
    around = np.zeros((len(at), BEHIND + 1 + AHEAD))  # ln w(k), k = −5 … 20
    last = np.full(len(at), -1)
    next_known = np.zeros(len(at), bool)
    soon_known = np.zeros(len(at), bool)
    for e in range(len(reports.position)):
        position = reports.position[e]
        for later, reacts in ((0, reports.first[e]), (1, reports.second[e])):
            begin = max(learnt[e], np.searchsorted(at, position + later - AHEAD))
            end = min(gone[e], np.searchsorted(at, position + later + BEHIND + 1))
            if reacts and begin < end:
                rows = np.arange(begin, end)
                k = position + later - at[rows] + BEHIND
                around[rows, k] = means[later][rows]
        begin = max(learnt[e], np.searchsorted(at, position))
        if begin < gone[e]:
            last[begin] = max(last[begin], position)
        end = min(gone[e], np.searchsorted(at, reports.reacts[e]))
        begin = max(learnt[e], np.searchsorted(day, reports.session[e] - FURTHEST))
        next_known[begin:end] = True
        soon_known[max(begin, np.searchsorted(at, reports.reacts[e] - SOON)) : end] = True
    last = np.maximum.accumulate(last)
    since_days = np.where(
        last >= 0,
        (day - days.sessions.to_numpy("datetime64[D]")[np.maximum(last, 0)]).astype(int),
        10 * QUARTER_DAYS,
    )
    quiet = since_days <= QUIET_DAYS
    live = day >= reports.since[~reports.assumed].min() if (~reports.assumed).any() else False
    due = (since_days <= QUARTER_DAYS) & ~np.asarray(live)
    w = np.exp(around[:, BEHIND + 1 :])
    mean = np.log(np.cumsum(w, axis=1) / np.arange(1, AHEAD + 1))
    since = np.where(last >= 0, np.minimum(at - last, LONGEST_SINCE), LONGEST_SINCE)
    next_ones = around[:, BEHIND + 1 :]
    columns = {f"date_{h}": mean[:, h - 1] for h in range(1, AHEAD + 1)}
    columns |= {f"date_ahead_{h}": next_ones[:, h - 1] for h in range(1, SOON + 1)}
    columns |= {
        "date_ahead_6_10": next_ones[:, SOON:10].max(axis=1),
        "date_ahead_11_20": next_ones[:, 10:].max(axis=1),
        "date_today": around[:, BEHIND],
        "date_past_6": around[:, : BEHIND + 1].max(axis=1),
        "date_since": np.log1p(since),
    }
    ahead = np.where(next_known | quiet, AHEAD, np.where(due, SOON, 0))
    columns = {name: np.where(ahead > 0, column, np.nan) for name, column in columns.items()}
    due_soon = np.where(since_days <= QUARTER_DAYS, SOON, 0)
    return Dates(columns, ahead, np.minimum(ahead, np.where(soon_known | quiet, AHEAD, due_soon)))


def _mean_reaction(
    every: np.ndarray,
    position: np.ndarray,
    at: np.ndarray,
    learnt: np.ndarray,
    gone: np.ndarray,
    prior: float,
) -> np.ndarray:
    """Return the mean size (T,) of past sessions that reacted, as known at each session."""
    inside = (position >= 0) & (position < len(every))
    size = np.where(inside, every[np.clip(position, 0, len(every) - 1)], np.nan)
    begin = np.maximum(learnt, np.searchsorted(at, position))
    end = np.minimum(gone, np.searchsorted(at, position + REMEMBERED))
    counts = np.isfinite(size) & (begin < end)
    total, number = np.zeros((2, len(at) + 1))
    for into, value in ((total, size), (number, np.ones(len(size)))):
        np.add.at(into, begin[counts], value[counts])
        np.subtract.at(into, end[counts], value[counts])
    total, number = np.cumsum(total)[:-1], np.cumsum(number)[:-1]
    return np.asarray((total + PRIOR * prior) / (number + PRIOR))


def fit_panel_reaction(panel: Panel) -> Reaction:
    """Return the mean reaction of a panel's tickers to their reports."""
    parts = []
    for ticker, days in panel_days(panel):
        size = unusual(panel[ticker])["range"]
        parts.append(reported_sizes(panel.view(ticker).events(EARNINGS), days, size))
    return fit_reaction(parts)


def date_regressors(panel: Panel, reaction: Reaction, horizon: int) -> dict[str, pd.DataFrame]:
    """Return what is known of announcements, for each ticker (T, 5 + H); 0 where nothing is.

    Whether it is known, soon and for all sessions; `DATES_BEHIND`; then `date_h` of each step h,
    beyond `AHEAD` that of the last.
    """
    columns = {}
    for ticker, days in panel_days(panel):
        size = unusual(panel[ticker])["range"]
        dates = dates_of(panel.view(ticker).events(EARNINGS), days, size, reaction)
        names = [*DATES_BEHIND, *(f"date_{min(h, AHEAD)}" for h in range(1, horizon + 1))]
        known = [dates.ahead >= SOON, dates.ahead == AHEAD]
        every = np.column_stack([*known, *(np.nan_to_num(dates.columns[name]) for name in names)])
        columns[ticker] = pd.DataFrame(every, index=size.index, columns=range(every.shape[1]))
    return columns
