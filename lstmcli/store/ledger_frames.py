"""Issued forecasts as a table of long rows, of either form in which the ledger keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lstmcli.store import recipe_names
from lstmcli.store.ledger_payload import PACKED, Layout, unpack
from lstmcli.store.ledger_schema import COLUMNS, NUMBERS, REPORT

READ = ("id", *COLUMNS, *REPORT, "previous", "hash")
"""What is read of a row of `forecasts`; in the table `calibrated` follows `recipe`."""

_AT = READ.index("recipe") + 1

LONG = (*READ[:_AT], "calibrated", *READ[_AT:])
"""The columns of the table."""

OF_EVENING = (
    *("first_row", "ticker", "made_on", "run", "last_close", "bars_sha", "config_sha"),
    *REPORT,
    *("row_count", "text", "issued_at", "version", "previous", "hash", "payload"),
)
"""What is read of an evening, its layout and its block."""

_TEXTS = ("ticker", "run", "recipe", "bars_sha", "config_sha", "version", "previous", "hash")

_DATES = ("made_on", "target_on", "report_session")


def of_rows(found: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return rows of `forecasts`, each with the values of `READ`, as the table."""
    rows = recipe_names.decode(pd.DataFrame(found, columns=list(READ)))
    rows = rows.astype({name: float for name in NUMBERS} | {name: "str" for name in _TEXTS})
    for name in _DATES:
        rows[name] = pd.to_datetime(rows[name], format="%Y-%m-%d").astype("datetime64[ns]")
    rows["issued_at"] = pd.to_datetime(rows["issued_at"], utc=True).astype("datetime64[ns, UTC]")
    rows = rows.astype({"id": "int64", "step": "int64"})
    for name in REPORT[1:]:  # texts, and None where a row has none
        rows[name] = rows[name].astype(object).where(rows[name].notna(), None)
    return rows


def of_evenings(
    found: Sequence[Sequence[Any]], damaged: Callable[[str], Exception]
) -> pd.DataFrame:
    """Return evenings, each with the values of `OF_EVENING`, as the table.

    All payloads of one layout are unpacked together: a loop over the evenings would take
    a hundred times as long as the numbers do.

    Args:
        damaged: makes the error about a payload that cannot be unpacked.
    """
    own = dict(zip(OF_EVENING, zip(*found, strict=True), strict=True))
    counts = np.array(own["row_count"])
    ends = counts.cumsum()
    starts = ends - counts
    total = int(ends[-1])
    values = np.empty((len(PACKED), total))  # a column of the table each
    days, steps = np.empty(total, np.int64), np.empty(total, np.int64)
    recipes, calibrated = np.empty(total, object), np.empty(total, bool)
    texts = np.array(own["text"], dtype=object)
    for text in dict.fromkeys(own["text"]):
        layout = Layout.parse(text)
        chosen = np.flatnonzero(texts == text)
        where = starts[chosen][:, None] + np.arange(len(layout.steps))
        try:
            if (counts[chosen] != len(layout.steps)).any():
                raise ValueError("it does not have the rows that its layout says")
            days[where], numbers = unpack(layout, [own["payload"][i] for i in chosen])
        except ValueError as error:
            raise damaged(str(error)) from error
        values[:, where] = np.moveaxis(numbers, -1, 0)
        steps[where] = layout.steps
        recipes[where], calibrated[where] = layout.repeat("recipe"), layout.repeat("calibrated")

    # Short texts are made once for each evening and then repeated.
    of_row = np.repeat(np.arange(len(counts)), counts)

    def repeated(name: str) -> Any:
        return pd.array(list(own[name]), dtype="str").take(of_row)

    def dates(name: str) -> np.ndarray:
        texts = pd.Series(own[name], dtype=object)
        parsed = pd.to_datetime(texts, format="%Y-%m-%d").astype("datetime64[ns]")
        return np.asarray(parsed)[of_row]

    made_on = dates("made_on")
    issued = pd.to_datetime(pd.Series(own["issued_at"]), utc=True).astype("datetime64[ns, UTC]")
    columns: dict[str, Any] = {
        "id": np.repeat(np.array(own["first_row"]) - starts, counts) + np.arange(total),
        "made_on": made_on,
        "step": steps,
        "recipe": _texts(recipes),
        "calibrated": calibrated,
        "target_on": made_on + days.astype("timedelta64[D]").astype("timedelta64[ns]"),
        "issued_at": issued.array.take(of_row),
        "last_close": np.array(own["last_close"], float)[of_row],
        **{name: values[number] for number, name in enumerate(PACKED)},
        "report_session": dates("report_session"),
        **{name: _objects(own[name], of_row) for name in REPORT[1:]},
    }
    columns |= {name: repeated(name) for name in _TEXTS if name != "recipe"}
    # To gather columns of one type in one block would copy them all.
    return pd.DataFrame({name: columns[name] for name in LONG}, copy=False)


def _texts(values: np.ndarray) -> Any:
    """Return texts of which few differ as an array of the type `str`."""
    codes, distinct = pd.factorize(values)
    return pd.array(list(distinct), dtype="str").take(codes)


def _objects(values: Sequence[Any], of_row: np.ndarray) -> pd.Series:
    """Return texts, and None where there is none, as objects: they are None then, not NaN."""
    return pd.Series(np.array(values, dtype=object)[of_row], dtype=object)
