"""Issue: write forecasts into the ledger, with the baselines beside them."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli import clock
from lstmcli.errors import LstmError
from lstmcli.frames import small_tables
from lstmcli.pipeline.prediction import Prediction
from lstmcli.store import Workspace
from lstmcli.store.ledger import Issued
from lstmcli.store.ledger_payload import check_finite

BESIDE = ("random_walk", "drift", "historical", "ewma", "garch", "gjr", "har", "har_ridge")
"""Baselines that are issued beside every forecast: all but gradient boosting, which takes as
long to fit as a network."""


@small_tables
def issue(
    workspace: Workspace, predictions: Sequence[Prediction]
) -> list[tuple[Prediction, LstmError | None]]:
    """Write forecasts into the ledger as one block; return each, and why one was not written.

    One that cannot be written, because a number of it is not finite, stops no other.

    Raises:
        DataError: the ledger is damaged, or its last block is later than the clock.
        DiskError: no space, or not writable; nothing was written.
        LockError: another process kept the ledger busy.
    """
    errors: dict[str, LstmError] = {}
    sound = []
    for prediction in predictions:
        issued = _issued(prediction)
        try:
            check_finite(issued.forecast)
        except LstmError as error:
            errors[prediction.ticker] = error
        else:
            sound.append(issued)
    workspace.ledger.append_all(sound, issued_at=clock.now())
    return [(prediction, errors.get(prediction.ticker)) for prediction in predictions]


def _issued(prediction: Prediction) -> Issued:
    return Issued(
        prediction.issued,
        run=prediction.manifest.run,
        bars_sha=prediction.bars_sha,
        config_sha=prediction.manifest.config_sha,
        report=prediction.reports.as_issued(),
    )
