"""Networks: windows → quantiles. One variant a file, its config and its network together.

To add one: write the file, add it to `AnyModel`, write its YAML in `configs/`.
The listing, the contract tests and the tables in docs read this union.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

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

_Variants = (
    Dense | Rnn | Lstm | Stacked | Bidirectional | Attention | CnnLstm | ConvLstm | EncoderDecoder
)

AnyModel = Annotated[_Variants, Field(discriminator="name")]

VARIANTS: dict[str, type[ModelConfig]] = {
    variant.model_fields["name"].default: variant for variant in get_args(_Variants)
}

__all__ = ["VARIANTS", "AnyModel", "ModelConfig", "WindowShape"]
