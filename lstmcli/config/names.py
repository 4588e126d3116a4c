"""The name of a config: what tables, runs and the ledger call its recipe."""

from __future__ import annotations

import re

from lstmcli.forecasters.baselines import BASELINES

MAX_NAME = 40

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: str) -> str:
    """Return the name of a config; "" stands for none.

    Raises:
        ValueError: it is that of a baseline, or it cannot name a folder.
    """
    if name in BASELINES:
        raise ValueError(f"Expected a name of its own. Received: {name}, which is a baseline.")
    if name and (len(name) > MAX_NAME or not _NAME.fullmatch(name)):
        raise ValueError(
            f"Expected a name of at most {MAX_NAME} letters, digits, dots, - and _. "
            f"Received: {name[:MAX_NAME]!r}."
        )
    return name


def name_of_file(stem: str) -> str:
    """Return the name of a config that its file gives it: what cannot stand there is a -."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:MAX_NAME]
