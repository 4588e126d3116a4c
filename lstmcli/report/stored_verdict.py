"""Verdicts of manifests: read back whole, and in a few words for a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.evaluation.comparison import NUMBERS
from lstmcli.evaluation.direction import Direction
from lstmcli.evaluation.known_dates import KnownDates
from lstmcli.evaluation.ladder import BEATS, LOSES, NO_VERDICT
from lstmcli.evaluation.verdict import Verdict
from lstmcli.forecasters.baselines import LADDER
from lstmcli.report.verdict import plain_name
from lstmcli.report.wording import recipe_of


def restored_verdict(stored: Mapping[str, Any]) -> Verdict | None:
    """Return the verdict that `verdict_json` returned as JSON.

    None of versions before 0.3, which had another test and no ladder.
    """
    if "ladder" not in stored:
        return None
    own = stored["direction"]
    # The key `edge` is younger than the sentence.
    found = str(own["verdict"]).startswith("evidence")
    edge = own["edge"] if "edge" in own else None if own["right"] is None else found
    coverage = ["step", "nominal", "coverage", "low", "high", "kept"]
    return Verdict(
        recipe=stored["recipe"],
        calibrated=stored["calibrated"],
        ladder=_table(stored["ladder"], ["baseline", "tested", "word", "why", *NUMBERS]),
        table=_table(stored["steps"], ["baseline", "step", *NUMBERS]),
        coverage=_table(stored["coverage"], coverage),
        overlaps={int(step): overlap for step, overlap in stored["overlaps"].items()},
        missing={int(step): more for step, more in stored["missing"].items()},
        alpha=stored["alpha"],
        shared=stored["shared"],
        fits=stored["fits"],
        confident=frozenset(map(recipe_of, stored["confidence_set"])),
        direction=Direction(
            right=_number(own["right"]),
            usual=_number(own["usual"]),
            p_value=own["p_value"],
            independence=own["independence"],
            edge=edge,
        ),
        first=pd.Timestamp(stored["first"]),
        last=pd.Timestamp(stored["last"]),
        origins=stored["origins"],
        forecasts=stored["forecasts"],
        tickers=tuple(stored["tickers"][key] for key in ("count", "better", "worse")),
        dates=KnownDates(**dates) if (dates := stored.get("announcements")) else None,
    )


def verdict_in_words(stored: Mapping[str, Any] | None) -> str:
    """Return a verdict in a few words: the hardest baseline beaten, the weakest lost to.

    Args:
        stored: what `verdict_json` returned, of any version; None where nothing was judged.
    """
    words = (stored or {}).get("verdict", {})
    rungs = [name for name in LADDER if words.get(name, NO_VERDICT) != NO_VERDICT]
    beaten = [name for name in rungs if words[name] == BEATS]
    lost = [name for name in rungs if words[name] == LOSES]
    said = [f"beats {_short_name(beaten[-1])}"] if beaten else []
    said += [f"loses to {_short_name(lost[0])}"] if lost else []
    return ", ".join(said) or ("cannot tell" if rungs else NO_VERDICT)


def _short_name(baseline: str) -> str:
    return plain_name(baseline).removeprefix("the ")


def _table(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return the table that `_records` made JSON of; null is what was not a finite number."""
    table = pd.DataFrame(records, columns=list(columns))
    counts = {"step", "freedom", "origins", "forecasts", "lacking"}
    texts = {"baseline", "tested", "word", "why", "kept"}
    numbers = {name: float for name in columns if name not in counts | texts}
    flags = {name: bool for name in ("tested", "kept") if name in columns}
    return table.astype({**numbers, **flags})


def _number(value: float | None) -> float:
    return np.nan if value is None else value
