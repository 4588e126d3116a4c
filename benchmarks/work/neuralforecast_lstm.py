"""neuralforecast's LSTM: one target and four past covariates, direct forecasts."""

from __future__ import annotations

import logging
import time
import warnings

import neuralforecast
import pandas as pd
from _neuralforecast import ALONE
from _task import COLUMNS, HORIZON, LOOKBACK, UNITS, answer, arguments, columns, difference
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MSE
from neuralforecast.models import LSTM

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
batch, layers, count = arguments()
rows = columns(count)
frame = pd.DataFrame(rows, columns=["y", *(f"x{n}" for n in range(1, COLUMNS))])
frame.insert(0, "ds", range(len(frame)))
frame.insert(0, "unique_id", "A")


def run(steps: int) -> float:
    model = LSTM(
        h=HORIZON,
        input_size=LOOKBACK,
        encoder_n_layers=layers,
        encoder_hidden_size=UNITS,
        encoder_dropout=0.0,
        decoder_layers=1,
        decoder_hidden_size=UNITS,
        hist_exog_list=[f"x{n}" for n in range(1, COLUMNS)],
        recurrent=False,
        loss=MSE(),
        max_steps=steps,
        batch_size=1,
        windows_batch_size=batch,
        **ALONE,
    )
    started = time.perf_counter()
    NeuralForecast(models=[model], freq=1).fit(frame, val_size=0)
    return time.perf_counter() - started


run(2)
epoch = -(-count // batch)
step = difference(run, few=epoch // 8, many=epoch + epoch // 8)
answer([step * epoch], version=neuralforecast.__version__)
