"""The verdict as manifests keep it, and what is read from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.ladder import BEATS, LOSES, NO_VERDICT, TIES
from lstmcli.evaluation.verdict import Verdict
from lstmcli.report.verdict import direction_sentence, headline, plain_name
from lstmcli.report.wording import recipe_name


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as manifests keep it: JSON values, with its sentences."""
    direction = verdict.direction
    rungs = verdict.ladder[verdict.ladder["tested"]]
    names = sorted(recipe_name(name, calibrated=own) for name, own in verdict.confident)
    return {
        "recipe": verdict.recipe,
        "calibrated": verdict.calibrated,
        "hardest": verdict.hardest,
        "verdict": dict(zip(rungs["baseline"], rungs["word"], strict=True)),
        "headline": headline(verdict),
        "test": "EWC on dates",
        "loss": "CRPS / (EWMA volatility * sqrt(step))",
        "alpha": verdict.alpha,
        "level": verdict.level,
        "shared": verdict.shared,
        "fits": verdict.fits,
        "first": _date(verdict.first),
        "last": _date(verdict.last),
        "origins": verdict.origins,
        "forecasts": verdict.forecasts,
        "overlaps": {str(step): overlap for step, overlap in verdict.overlaps.items()},
        "missing": {str(step): more for step, more in verdict.missing.items()},
        "tickers": dict(zip(("count", "better", "worse"), verdict.tickers, strict=True)),
        "direction": {
            "right": _json_value(direction.right),
            "usual": _json_value(direction.usual),
            "p_value": direction.p_value,
            "independence": direction.independence,
            "verdict": direction_sentence(direction),
        },
        "confidence_set": names,
        "covers": verdict.covers,
        "ladder": _records(verdict.ladder),
        "steps": _records(verdict.table),
        "coverage": _records(verdict.coverage),
    }


def hardest_baseline(stored: Mapping[str, Any] | None) -> str | None:
    """Return the baseline that stands beside a forecast, from what `verdict_json` returned.

    Versions before 0.3 stored the one with the lowest CRPS instead.
    """
    stored = stored or {}
    return stored.get("hardest") or stored.get("strongest")


def reminder(stored: Mapping[str, Any]) -> str:
    """Return a line on a verdict that was shown in full above.

    Args:
        stored: what `verdict_json` returned.
    """
    hardest = hardest_baseline(stored)
    if hardest is None:
        return "verdict on the run: see above"
    word = stored["verdict"].get(hardest, NO_VERDICT)
    verbs = {BEATS: "beats", LOSES: "loses to", TIES: "cannot be told from"}
    phrase = f"{verbs[word]} {plain_name(hardest)}" if word in verbs else f"{word} ({hardest})"
    return f"verdict on the run: {phrase}, see above"


def _date(day: pd.Timestamp) -> str | None:
    return None if pd.isna(day) else f"{day:%Y-%m-%d}"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _json_value(value) for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def _json_value(value: Any) -> Any:
    """Return a JSON value; what is not a finite number is null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
