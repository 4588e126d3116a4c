"""A forecast and a verdict in a line or three: what stands at a picture and tops a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from lstmcli.evaluation.ladder import BEATS, LOSES, NO_VERDICT
from lstmcli.forecasters.baselines import LADDER
from lstmcli.report.outlook import Range, outlook, shown_steps
from lstmcli.report.verdict import plain_name
from lstmcli.report.verdict_record import has_edge


def answer(stored: Mapping[str, Any] | None, prices: pd.DataFrame) -> str:
    """Return what a forecast says, in two sentences that hold whenever they are read.

    Args:
        stored: the verdict on its network, as `verdict_json` returned it; None without one.
        prices: the forecast of one ticker, by step.
    """
    close = float(prices["last_close"].iloc[0])
    row_of = {step: row for row, step in enumerate(prices["step"].tolist())}
    rows = [row_of[step] for step in shown_steps(max(row_of))]
    target_on, low, high = (prices[name].iloc[rows] for name in ("target_on", "lo80", "hi80"))
    ranges = [
        Range(step=step, target_on=day.date(), low=below / close - 1, high=above / close - 1)
        for step, day, below, above in zip(
            prices["step"].iloc[rows].tolist(),
            target_on.tolist(),
            low.tolist(),
            high.tolist(),
            strict=True,
        )
    ]
    made_on = pd.Timestamp(prices["made_on"].iloc[0]).date()
    # Seen from long ago no day is tomorrow: a picture may be read next week.
    return outlook(has_edge(stored), ranges, made_on=made_on, today=date.min)


def verdict_lines(stored: Mapping[str, Any] | None) -> list[str]:
    """Return a verdict in three lines: better than whom, not better than whom, direction.

    Args:
        stored: what `verdict_json` returned, of any version; None where nothing was judged.
    """
    words = (stored or {}).get("verdict") or {}
    known = [name for name in LADDER if words.get(name, NO_VERDICT) != NO_VERDICT]
    if not known:
        return ["No verdict: too few sessions to say whether it is better than a baseline."]
    beaten = [name for name in known if words[name] == BEATS]
    lost = [name for name in known if words[name] == LOSES]
    other = [name for name in known if name not in (*beaten, *lost)]
    rest = []
    if lost:
        rest.append(f"Worse than {_listed(lost)}.")
    if other:
        rest.append(f"Cannot be told from {_listed(other)}.")
    judged_on = (
        "shares it never saw" if (stored or {}).get("unseen") else "sessions it had not seen"
    )
    return [
        f"Better than {_listed(beaten)}, on {judged_on}."
        if beaten
        else f"Not shown to be better than any baseline, on {judged_on}.",
        " ".join(rest) or "No baseline was asked that it did not beat.",
        f"Direction: {'some evidence' if has_edge(stored) else 'no evidence'} of an edge.",
    ]


def verdict_caption(stored: Mapping[str, Any] | None) -> str:
    """Return the verdict in one line, for the header of a chart."""
    return " ".join(verdict_lines(stored)[:2])


def _listed(names: Sequence[str]) -> str:
    return " and ".join(", ".join(map(plain_name, names)).rsplit(", ", 1))
