"""Networks: windows → quantiles. One variant a file, its config and its network together.

To add one: write the file, add it to `AnyVariant`, write its YAML in `configs/`.
The listing, the contract tests and the tables in docs read this union.
"""

from __future__ import annotations

from typing import get_args

from lstmcli.models.attention import Attention
from lstmcli.models.base import ModelConfig, WindowShape
from lstmcli.models.bidirectional import Bidirectional
from lstmcli.models.cnn_lstm import CnnLstm
from lstmcli.models.conv_lstm import ConvLstm
from lstmcli.models.dense import Dense
from lstmcli.models.encoder_decoder import EncoderDecoder
from lstmcli.models.lstm import Lstm
from lstmcli.models.rnn import Rnn
from lstmcli.models.stacked import Stacked

AnyVariant = (
    Dense | Rnn | Lstm | Stacked | Bidirectional | Attention | CnnLstm | ConvLstm | EncoderDecoder
)

VARIANTS: dict[str, type[ModelConfig]] = {
    variant.model_fields["name"].default: variant for variant in get_args(AnyVariant)
}

__all__ = ["VARIANTS", "AnyVariant", "ModelConfig", "WindowShape"]
