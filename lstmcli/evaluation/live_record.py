"""The record of issued forecasts by the month of their origins, which an evening adds to.

A forecast enters as open. Once its outcome is known its scores are kept, and its quantiles
are not needed again. What tables show comes from sums of a month, and the months that an
evening does not concern are not read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from lstmcli.evaluation.live import (
    OPEN,
    REPEATED,
    SCORED,
    UNMATCHED,
    WAITING,
    follow_up,
)
from lstmcli.evaluation.live_reports import report_ahead, report_sums
from lstmcli.evaluation.live_table import SCORES, scores_of, sums_by_date
from lstmcli.frames import IDENTITY, cone_columns, endpoints
from lstmcli.panel import Panel

_ISSUED = ("id", "ticker", "made_on", "target_on", "step", *IDENTITY, "issued_at", "last_close")
_CONE = cone_columns(0.80)
_KNOWN = (*SCORES, "realised", "lo80", "hi80")
"""What is kept of a forecast whose outcome is known."""

ROW_COLUMNS = (*_ISSUED, "ahead", "status", *_KNOWN)

KEY = ("ticker", "made_on", "step", *IDENTITY)

UNSETTLED = (OPEN, WAITING)


@dataclass(frozen=True)
class Summary:
    """What tables need of the forecasts of a month.

    Attributes:
        sums: of `sums_by_date`.
        reports: of `report_sums`.
        by_ticker: sums of each ticker over its origins; see `sums_by_date`.
        counts: `ticker status forecasts` of the published forecasts.
        origins: `ticker made_on` of the published forecasts.
        unsettled: `ticker status target_on`, the first target that has no outcome yet.
    """

    sums: pd.DataFrame
    reports: pd.DataFrame
    by_ticker: pd.DataFrame
    counts: pd.DataFrame
    origins: pd.DataFrame
    unsettled: pd.DataFrame


def enter(issued: pd.DataFrame) -> pd.DataFrame:
    """Return forecasts of the ledger as rows of a record: open, without scores."""
    rows = issued[list(_ISSUED)].assign(ahead=report_ahead(issued), status=OPEN)
    return rows.assign(**dict.fromkeys(_KNOWN, np.nan))[list(ROW_COLUMNS)]


def month_of(made_on: pd.Series) -> pd.Series:
    """Return the month of origins, such as `2024-02`."""
    return made_on.dt.strftime("%Y-%m")


def judge(rows: pd.DataFrame, panel: Panel, now: datetime) -> pd.DataFrame:
    """Return some rows of a record with their status, and the outcome and unit where known.

    Whether a row repeats another one is not looked at; see `mark_repeated`.
    """
    alone = rows.drop(columns=["status", "realised"]).reset_index(drop=True)
    # A number of its own for each row: none of them repeats another.
    found = follow_up(alone, panel, now, repeats=False)
    return found[[*ROW_COLUMNS, "unit"]]


def with_scores(judged: pd.DataFrame, issued: pd.DataFrame) -> pd.DataFrame:
    """Return rows that `judge` returned with the scores of those that have an outcome.

    Args:
        issued: rows of the ledger with the quantiles; rows that it lacks stay without scores.
    """
    known = judged.loc[judged["status"] == SCORED, ["id", "realised", "unit"]]
    scored = issued.merge(known, on="id", how="inner")
    judged = judged.drop(columns="unit")
    if not len(scored):
        return judged
    low, high = endpoints(scored, 0.80)
    values = scores_of(scored).assign(id=scored["id"], lo80=low, hi80=high)
    names = [*SCORES, "lo80", "hi80"]
    values = values.set_index("id")[names]
    at = judged["id"].isin(values.index).to_numpy()
    judged.loc[at, names] = values.loc[judged.loc[at, "id"]].to_numpy()
    return judged


def mark_repeated(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a month by id, those marked that repeat an earlier one."""
    rows = rows.sort_values("id", kind="stable").reset_index(drop=True)
    again = rows.duplicated(list(KEY)).to_numpy()
    return rows.assign(status=rows["status"].where(~again, REPEATED))


def needs_quantiles(rows: pd.DataFrame) -> np.ndarray:
    """Return of which rows scores are kept: step 1, and steps that another recipe has, (N,).

    Another one from the same origin: a table compares no others.
    """
    forecast = ["ticker", "made_on", "step"]
    compared = pd.MultiIndex.from_frame(rows.loc[~rows["calibrated"], forecast])
    shared = pd.MultiIndex.from_frame(rows[forecast]).isin(compared)
    return shared | (rows["step"] == 1).to_numpy()


def summarise(rows: pd.DataFrame, tickers: set[str]) -> Summary:
    """Return what tables need of the rows of a month.

    Args:
        tickers: that count; bars of the others are not stored, or cannot be read.
    """
    counted = rows[rows["ticker"].isin(tickers)]
    scored = counted[(counted["status"] == SCORED) & counted["crps"].notna()]
    scored = scored.sort_values(["ticker", "id"], kind="stable")
    scores = scored[[*KEY, *SCORES]]
    published = rows[rows["calibrated"].to_numpy(bool)]
    counts = published.groupby(["ticker", "status"], sort=True).size().rename("forecasts")
    left = rows[rows["status"].isin(UNSETTLED)]
    return Summary(
        sums=sums_by_date(scores),
        reports=report_sums(scores.assign(ahead=scored["ahead"])),
        by_ticker=sums_by_date(scores, of="ticker"),
        counts=counts.reset_index(),
        origins=published[["ticker", "made_on"]].drop_duplicates().reset_index(drop=True),
        unsettled=left.groupby(["ticker", "status"], sort=True)["target_on"].min().reset_index(),
    )


def doubtful(judged: pd.DataFrame) -> set[str]:
    """Return tickers with an origin that the bars do not hold: all origins have to be seen."""
    return set(judged.loc[judged["status"] == UNMATCHED, "ticker"])


def print_of(bars: pd.DataFrame, sessions: int) -> str:
    """Return the SHA-256 of what outcomes of the first so many sessions depend on."""
    known = bars.iloc[:sessions]
    digest = hashlib.sha256(known.index.to_numpy("datetime64[D]").tobytes())
    for name in ("close", "dividend", "split"):
        digest.update(np.ascontiguousarray(known[name].to_numpy("<f8")).tobytes())
    return digest.hexdigest()
