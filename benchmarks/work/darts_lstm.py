"""darts' BlockRNNModel with an LSTM: one target and four past covariates."""

from __future__ import annotations

import logging
import time
import warnings

import darts
from _task import HORIZON, LOOKBACK, UNITS, answer, arguments, columns, difference
from darts import TimeSeries
from darts.models import BlockRNNModel

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
batch, layers, count = arguments()
rows = columns(count)
target = TimeSeries.from_values(rows[:, :1])
covariates = TimeSeries.from_values(rows[:, 1:])


def run(epochs: int) -> float:
    model = BlockRNNModel(
        model="LSTM",
        input_chunk_length=LOOKBACK,
        output_chunk_length=HORIZON,
        hidden_dim=UNITS,
        n_rnn_layers=layers,
        batch_size=batch,
        n_epochs=epochs,
        dropout=0.0,
        random_state=0,
        pl_trainer_kwargs={
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "logger": False,
        },
    )
    started = time.perf_counter()
    model.fit(target, past_covariates=covariates)
    return time.perf_counter() - started


run(1)
answer([difference(run, few=1, many=3)], version=darts.__version__)
