"""neuralforecast's LSTM on the bars of a workspace: FOLDER save|predict|walk.

`save` trains for two steps and keeps the model, `predict` loads it and forecasts every ticker
once, `walk` fits anew before each fold and forecasts from each session of it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _market import BATCH, EPOCH_SHARE, HORIZON, LOOKBACK, UNITS, frame, task
from _neuralforecast import ALONE
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import LSTM

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
folder, what = Path(sys.argv[1]), sys.argv[2]
asked, (rows, sessions) = task(folder), frame(folder)
kept = str(folder / "neuralforecast")


def model(steps: int) -> NeuralForecast:
    network = LSTM(
        h=HORIZON,
        input_size=LOOKBACK,
        encoder_n_layers=1,
        encoder_hidden_size=UNITS,
        encoder_dropout=0.0,
        decoder_layers=1,
        decoder_hidden_size=UNITS,
        recurrent=False,
        loss=MQLoss(quantiles=asked["quantiles"]),
        max_steps=steps,
        windows_batch_size=BATCH,
        **ALONE,
    )
    return NeuralForecast(models=[network], freq=1)


def walk() -> int:
    """Return how many forecasts were made."""
    made = 0
    for fold in asked["folds"]:
        first, until, last = (
            sessions.searchsorted(np.datetime64(fold[name])) for name in ("since", "until", "last")
        )
        of_fold = rows[(rows["ds"] >= first) & (rows["ds"] <= last)]
        learnt = (of_fold["ds"] <= until).sum()
        steps = max(1, round(EPOCH_SHARE * learnt / BATCH))
        found = model(steps).cross_validation(
            of_fold, n_windows=None, test_size=fold["origins"] + HORIZON - 1, step_size=1
        )
        made += len(found) // HORIZON
    return made


started = time.perf_counter()
if what == "save":
    fitted = model(2)
    fitted.fit(rows, val_size=0)
    fitted.save(kept, overwrite=True)
    made = 0
elif what == "predict":
    made = len(NeuralForecast.load(kept).predict(rows)) // HORIZON
else:
    made = walk()
print(json.dumps({"seconds": time.perf_counter() - started, "forecasts": made}))
