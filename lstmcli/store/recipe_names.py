"""How files name a calibrated recipe in one text: all of 0.1, and the ledger still.

In tables it is two columns, `recipe` and `calibrated`. The ledger keeps the one column of
0.1, because the hashes of its rows cover it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

_SUFFIX = "+calibrated"


def encode(recipe: str, *, calibrated: bool) -> str:
    """Return both columns as one text."""
    return f"{recipe}{_SUFFIX}" if calibrated else recipe


def decode(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with both columns; those that have them are returned as they are."""
    if "calibrated" in rows:
        return rows
    texts = rows["recipe"].astype(str)
    rows = rows.assign(recipe=texts.str.removesuffix(_SUFFIX))
    rows.insert(rows.columns.get_loc("recipe") + 1, "calibrated", texts.str.endswith(_SUFFIX))
    return rows


def of_any_version(recipes: Sequence[str]) -> list[str]:
    """Return the texts that files of any version have in their column `recipe`."""
    return [text for name in recipes for text in (name, f"{name}{_SUFFIX}")]


def decode_verdict(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdict of a manifest with both keys; its sentences stay as they are."""
    if "calibrated" in verdict:
        return dict(verdict)
    text = str(verdict.get("recipe", ""))
    own = {"recipe": text.removesuffix(_SUFFIX), "calibrated": text.endswith(_SUFFIX)}
    return {**own, **{key: value for key, value in verdict.items() if key != "recipe"}}
