"""The layers, the loss and the optimiser that networks share.

This room alone imports Keras when it is imported: call `load_tensorflow` before. Keras finds
the classes of a saved network by their names, `lstmcli>LSTM` for example, and only after this
import.
"""

from lstmcli.models.layers.adam import Adam
from lstmcli.models.layers.attention import AdditiveAttention
from lstmcli.models.layers.lstm import LSTM
from lstmcli.models.layers.quantiles import QuantileHead, QuantileLoss, quantile_head

__all__ = ["LSTM", "Adam", "AdditiveAttention", "QuantileHead", "QuantileLoss", "quantile_head"]
