"""Issue: write a forecast into the ledger, with the baselines beside it."""

from __future__ import annotations

import pandas as pd

from lstmcli import clock
from lstmcli.evaluation.backtest import judged_steps
from lstmcli.pipeline.predict import Prediction
from lstmcli.store import Workspace

BESIDE = ("random_walk", "drift", "historical", "ewma", "garch", "gjr", "har", "har_ridge")
"""Baselines that are issued beside every forecast: all but gradient boosting, which takes as
long to fit as a network."""


def issue(workspace: Workspace, prediction: Prediction) -> None:
    """Write a forecast into the ledger: the published one at all steps, others where judged.

    Raises:
        DataError: the ledger is damaged, or its last row is later than the clock.
        DiskError: no space, or not writable; nothing was written.
        LockError: another process kept the ledger busy.
    """
    steps = judged_steps(len(prediction.forecast))
    judged = [
        rows[rows["step"].isin(steps)] for rows in (prediction.raw, *prediction.beside.values())
    ]
    workspace.ledger.append(
        pd.concat([prediction.forecast, *judged], ignore_index=True),
        run=prediction.manifest.run,
        issued_at=clock.now(),
        bars_sha=prediction.bars_sha,
        config_sha=prediction.manifest.config_sha,
        report=prediction.reports.as_issued(),
    )
