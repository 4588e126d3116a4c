"""Ours on the bars of a workspace: `lstm.yaml` fitted anew before each fold, one epoch: FOLDER."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
from _market import BATCH, task

from lstmcli.config import load_config
from lstmcli.panel import Panel
from lstmcli.store import Workspace

folder = Path(sys.argv[1])
stored = Workspace(folder).bars
bars = {ticker: stored.read(ticker)[0] for ticker in stored.tickers()}
panel = Panel(bars, dict.fromkeys(bars, "XNYS"))
settings = ("training.epochs=1", "training.members=1", f"training.batch_size={BATCH}")
recipe = load_config("lstm", overrides=[*settings, "model.dropout=0"]).recipe()
started, made = time.perf_counter(), 0
for fold in task(folder)["folds"]:
    since, until, last = (pd.Timestamp(fold[name]) for name in ("since", "until", "last"))
    of_fold = panel.since(since)
    sessions = of_fold.sessions()
    after = sessions[sessions > until][: fold["origins"]]
    rows = recipe.fit(of_fold, until).forecast(of_fold.until(last), after)
    made += len(rows) // recipe.horizon
print(json.dumps({"seconds": time.perf_counter() - started, "forecasts": made}))
