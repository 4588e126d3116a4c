"""Stock Keras, as documented: `keras.layers.LSTM`, arrays, `fit`."""

from __future__ import annotations

import os
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
from _task import COLUMNS, HORIZON, LOOKBACK, UNITS, answer, arguments, materialised

batch, layers, count = arguments()
x, y = materialised(count)
inputs = keras.Input((LOOKBACK, COLUMNS))
hidden = inputs
for layer in range(layers):
    hidden = keras.layers.LSTM(UNITS, return_sequences=layer < layers - 1)(hidden)
network = keras.Model(inputs, keras.layers.Dense(HORIZON)(hidden))
network.compile("adam", "mse")
seconds = []
for _ in range(3):
    started = time.perf_counter()
    network.fit(x, y, batch_size=batch, epochs=1, verbose=0)
    seconds.append(time.perf_counter() - started)
answer(seconds[1:])
