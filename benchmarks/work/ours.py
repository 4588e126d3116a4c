"""Ours: the training loop of the package, with its quantile head and its windows by index."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _task import COLUMNS, HORIZON, LOOKBACK, UNITS, answer, arguments

from lstmcli.forecasters.training import Data, Silent, TrainingConfig, train_member
from lstmcli.frames import QUANTILES
from lstmcli.models import VARIANTS
from lstmcli.windows import Windows

EPOCHS = 6

batch, layers, count = arguments()
rows = count + LOOKBACK + HORIZON - 1
generator = np.random.default_rng(0)
windows = Windows(
    tickers=("A",),
    ticker=np.zeros(rows, np.int32),
    session=pd.bdate_range("1990-01-01", periods=rows).to_numpy(),
    values=generator.standard_normal((rows, COLUMNS)).astype(np.float32),
    level=generator.standard_normal(rows).cumsum(),
    sigma=np.ones((rows, 1)),
    close=np.ones(rows),
    forecastable=np.ones(rows, bool),
    trainable=np.ones(rows, bool),
    future=None,
    lookback=LOOKBACK,
    horizon=HORIZON,
)
origins = np.arange(LOOKBACK - 1, LOOKBACK - 1 + count)
data = Data(
    values=windows.values,
    windows=windows,
    train=origins,
    validation=origins[:10],
    base_quantiles=np.tile(np.linspace(-2, 2, len(QUANTILES)), (HORIZON, 1)).astype(np.float32),
    step_weights=np.ones(HORIZON, np.float32),
)
model = (
    VARIANTS["lstm"](units=UNITS, dropout=0)
    if layers == 1
    else VARIANTS["stacked"](units=(UNITS,) * layers, dropout=0)
)
training = TrainingConfig(epochs=EPOCHS, patience=EPOCHS, batch_size=batch, members=1)
_, history = train_member(model, training, data, seed=0, fit="final", member=1, watch=Silent())
# Epoch 0 evaluates, epoch 1 also traces the graph.
answer(history["seconds"].iloc[2:].tolist())
