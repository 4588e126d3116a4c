"""Runs: the finished ones, the interrupted ones, and those that cannot be read."""

from __future__ import annotations

from lstmcli.errors import LstmError
from lstmcli.pipeline.session import Session
from lstmcli.store.runs import Manifest


def runs(session: Session) -> tuple[list[Manifest], list[str], list[LstmError]]:
    """Return manifests, oldest first, names of interrupted runs, and errors of the others."""
    store = session.workspace.runs
    finished, errors = [], []
    for run in store.names():
        try:
            finished.append(session.manifest(run))
        except LstmError as error:
            errors.append(error)
    return finished, store.interrupted(), errors
