"""PyTorch, a plain loop over shuffled windows."""

from __future__ import annotations

import time

import torch
from _task import COLUMNS, HORIZON, UNITS, answer, arguments, materialised

batch, layers, count = arguments()
x, y = (torch.from_numpy(array) for array in materialised(count))
recurrent = torch.nn.LSTM(COLUMNS, UNITS, num_layers=layers, batch_first=True)
head = torch.nn.Linear(UNITS, HORIZON)
optimizer = torch.optim.Adam([*recurrent.parameters(), *head.parameters()])
seconds = []
for _ in range(5):
    started = time.perf_counter()
    for rows in torch.randperm(count).split(batch):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(head(recurrent(x[rows])[0][:, -1]), y[rows])
        loss.backward()
        optimizer.step()
    seconds.append(time.perf_counter() - started)
answer(seconds[1:], version=torch.__version__)
