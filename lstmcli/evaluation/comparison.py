"""Two recipes on the rows that both have, date by date; and over how many dates they overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.significance import MIN_ORIGINS, Test, skill_test

KEYS = ["ticker", "made_on", "step"]
"""What tells one forecast of a recipe from another."""

NUMBERS = (
    *("skill", "low", "high", "p_value", "freedom", "detectable"),
    *("crps_skill", "crps_low", "crps_high", "loss", "base_loss", "crps", "base_crps"),
    *("origins", "forecasts", "lacking"),
)
"""Columns of a comparison; see `Verdict.ladder`."""

_LOSSES = ["scaled", "base_scaled", "crps", "base_crps"]


class Comparison:
    """A recipe beside a baseline.

    Attributes:
        rows: `ticker made_on step scaled crps base_scaled base_crps` where both forecast.
    """

    def __init__(self, own: pd.DataFrame, base: pd.DataFrame) -> None:
        """Join `numbered` outcomes of two recipes."""
        _, mine, its = np.intersect1d(own["row"], base["row"], return_indices=True)
        self.rows = own.iloc[mine][[*KEYS, "scaled", "crps"]].assign(
            base_scaled=base["scaled"].to_numpy()[its], base_crps=base["crps"].to_numpy()[its]
        )
        self._by_step = {
            int(step): rows.groupby("made_on")[_LOSSES].mean()
            for step, rows in self.rows.groupby("step")
        }
        self._wanted = own["step"].value_counts().to_dict()
        self._had = self.rows["step"].value_counts().to_dict()

    def numbers(
        self, overlaps: Mapping[int, int], *, alpha: float
    ) -> tuple[dict[str, Any], Test | None]:
        """Return the columns of a comparison over some steps, and its test.

        A date's loss is the mean over its tickers, then the mean over steps with equal
        weights, of dates that all steps have. None instead of a test without enough dates.
        """
        losses = self.losses(overlaps)
        forecasts = sum(self._had.get(step, 0) for step in overlaps)
        found: dict[str, Any] = {
            **dict.fromkeys(NUMBERS, np.nan),
            "freedom": 0,
            "origins": len(losses),
            "forecasts": forecasts,
            "lacking": sum(self._wanted.get(step, 0) for step in overlaps) - forecasts,
        }
        if losses.empty:
            return found, None
        overlap = max(overlaps.values())
        found |= {
            name: float(losses[column].mean())
            for name, column in zip(
                ("loss", "base_loss", "crps", "base_crps"), _LOSSES, strict=True
            )
        }
        test, plain = (
            skill_test(losses[own].to_numpy(), losses[base].to_numpy(), overlap=overlap)
            for own, base in (("scaled", "base_scaled"), ("crps", "base_crps"))
        )
        if test is not None:
            low, high = test.interval(1 - 2 * alpha)
            found |= {"skill": test.mean, "low": low, "high": high, "p_value": test.p_value}
            found |= {"freedom": test.freedom, "detectable": test.detectable(alpha)}
        if plain is not None:
            low, high = plain.interval(1 - 2 * alpha)
            found |= {"crps_skill": plain.mean, "crps_low": low, "crps_high": high}
        return found, test

    def losses(self, steps: Iterable[int]) -> pd.DataFrame:
        """Return the mean losses of the dates that all steps have, by date.

        Columns: `scaled base_scaled crps base_crps`.
        """
        frames = [self._by_step.get(step) for step in steps]
        known = [frame for frame in frames if frame is not None]
        if not known or len(known) < len(frames):
            return pd.DataFrame(columns=_LOSSES, dtype=float)
        dates = reduce(pd.Index.intersection, [frame.index for frame in known])
        total = sum(frame.loc[dates].to_numpy() for frame in known)
        return pd.DataFrame(total / len(known), index=dates, columns=_LOSSES)


def numbered(of: pd.DataFrame) -> pd.DataFrame:
    """Return `outcomes` with a loss, and the number of each forecast in a column `row`.

    The number is the same for all recipes.
    """
    of = of[np.isfinite(of["scaled"].to_numpy())]
    return of.assign(row=of.groupby(KEYS, observed=True, sort=True).ngroup())


def overlaps_of(own: pd.DataFrame) -> dict[int, int]:
    """Return by step, over how many dates of the table an outcome reaches at most.

    That is the number of dates in (made_on, target_on]. With one exchange it is the step.
    With several, one session of an exchange may span more days on which another has origins.
    """
    dates = np.sort(own["made_on"].unique())
    pairs = own[["made_on", "target_on", "step"]].drop_duplicates()
    found = {}
    for step, rows in pairs.groupby("step"):
        # Outcomes after the last date are counted short.
        whole = rows[rows["target_on"] <= dates[-1]]
        reach = np.searchsorted(dates, whole["target_on"], "right") - np.searchsorted(
            dates, whole["made_on"], "right"
        )
        found[int(step)] = max(int(reach.max()), 1) if len(reach) else int(step)
    return found


def judged_steps_of(own: pd.DataFrame) -> tuple[dict[int, int], dict[int, int]]:
    """Return the overlap of each step that can be judged, and the dates that others lack.

    A test needs ten dates for each that outcomes overlap, and all judged steps share their
    dates. Where they have too few, the longest step is left out.
    """
    overlaps = overlaps_of(own) if len(own) else {}
    dates_of = {int(step): set(dates.unique()) for step, dates in own.groupby("step")["made_on"]}
    missing: dict[int, int] = {}
    while overlaps:
        longest = max(overlaps)
        dates = set.intersection(*(dates_of[step] for step in overlaps))
        lacking = MIN_ORIGINS * max(overlaps.values()) - len(dates)
        if lacking <= 0:
            break
        missing[longest] = lacking
        del overlaps[longest]
    return overlaps, dict(sorted(missing.items()))
