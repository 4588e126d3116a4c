"""The head that every network ends in, and the loss that it is trained on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from lstmcli.frames import MEDIAN, QUANTILES

_Q = len(QUANTILES)


@keras.saving.register_keras_serializable(package="lstmcli")
class QuantileHead(keras.layers.Layer):
    """Turns corrections into quantiles that cannot cross.

    Flow: raw (N, H, 1 + Q) → quantiles (N, H, Q) in units of sigma·sqrt(h).
    Equation, with z the base quantiles of the scaled target and raw = (m, s, u):

        median  z[.5] + 0.5·tanh(m)
        gap_k   exp(1.5·tanh(s/1.5)) · max(z[k+1] − z[k], 1e-4) · exp(0.5·tanh(u_k))
        others  median ± cumulative sums of the gaps

    At raw = 0 the forecast is z: training starts from the baseline. The tanh bound the
    corrections, so that a bad step of training stays near the baseline.
    """

    def __init__(self, base_quantiles: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base_quantiles = np.asarray(base_quantiles, np.float32)
        gaps = np.maximum(np.diff(self.base_quantiles, axis=1), 1e-4)
        # (Q − 1, Q): which gaps lie between the median and each level, with their sign.
        gap, level = np.ogrid[: _Q - 1, :_Q]
        signs = ((gap >= MEDIAN) & (gap < level)) * 1.0 - ((gap < MEDIAN) & (gap >= level)) * 1.0
        self._median = self.base_quantiles[:, MEDIAN : MEDIAN + 1]  # (H, 1)
        self._log_gaps = np.log(gaps)  # (H, Q − 1)
        self._signs = signs.astype(np.float32)
        self._bounds = np.full(_Q + 1, 0.5, np.float32)  # of m, s and every u
        self._bounds[1] = 1.5
        self._slopes = np.ones(_Q + 1, np.float32)
        self._slopes[1] = 1 / 1.5

    def call(self, raw: Any) -> Any:
        # Few operations: to start one takes as long as its arithmetic.
        bounded = self._bounds * ops.tanh(self._slopes * raw)
        m, s, u = ops.split(bounded, (1, 2), axis=-1)
        gaps = ops.exp(s + (u + self._log_gaps))  # (N, H, Q − 1)
        return (self._median + m) + ops.matmul(gaps, self._signs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], _Q)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "base_quantiles": self.base_quantiles.tolist()}


@keras.saving.register_keras_serializable(package="lstmcli")
class KnownSoFar(keras.layers.Layer):
    """Adds to the known-ahead inputs of each step their mean over the steps up to it.

    Flow: x (N, H, K) → (N, H, 2·K). The return of step h covers all sessions up to it, so an
    event at an earlier step matters too.
    """

    def call(self, x: Any) -> Any:
        horizon = x.shape[1]
        means = np.tril(np.ones((horizon, horizon))) / np.arange(1, horizon + 1)[:, None]
        return ops.concatenate([x, ops.matmul(ops.cast(means, x.dtype), x)], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 2 * input_shape[-1])


def quantile_head(encoding: Any, base_quantiles: np.ndarray, targets: Any = None) -> Any:
    """Return quantiles (N, H, Q) from an encoding (N, U), or (N, H, U) with one vector a step.

    Args:
        targets: known-ahead inputs (N, H, K), which shift the corrections of each step. None
            if there are none, or if the encoding has read them.
    """
    horizon = len(base_quantiles)
    # All zero, so that the untrained network is the baseline.
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros", "name": "corrections"}
    if len(encoding.shape) == 3:
        raw = keras.layers.Dense(_Q + 1, **zeros)(encoding)
    else:
        raw = keras.layers.Dense(horizon * (_Q + 1), **zeros)(encoding)
        raw = keras.layers.Reshape((horizon, _Q + 1))(raw)
    if targets is not None:
        shift = keras.layers.Dense(
            _Q + 1, kernel_initializer="zeros", use_bias=False, name="known_ahead"
        )
        raw = keras.layers.Add()([raw, shift(KnownSoFar()(targets))])
    return QuantileHead(base_quantiles, name="quantiles")(raw)


@keras.saving.register_keras_serializable(package="lstmcli")
class QuantileLoss(keras.losses.Loss):
    """Mean pinball loss of scaled quantiles, with a weight for each step.

    Equation: mean_h w[h] · mean_τ 2·ρ_τ(y − q), ρ_τ(d) = max(τ·d, (τ−1)·d), with
    w[h] = 1 / the loss of the base quantiles at step h. So 1.0 is the
    loss of the baseline, at each step and over all steps.
    Source: Koenker, Bassett (1978), Regression Quantiles.
    """

    def __init__(self, step_weights: Any, name: str = "quantile_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.step_weights = np.asarray(step_weights, np.float32)
        self._levels = np.asarray(QUANTILES, np.float32)
        # (H, 1): the share of one quantile in the mean, times the 2 of 2·ρ.
        self._scale = 2 * self.step_weights[:, None] / (len(self.step_weights) * _Q)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        difference = ops.expand_dims(y_true, -1) - y_pred  # (N, H, Q)
        # ρ_τ(d) = d·(τ − 1{d<0}); the factor is constant where the loss has a gradient.
        below = ops.cast(difference < 0, difference.dtype)
        return ops.sum(difference * (self._scale * (self._levels - below)), axis=(1, 2))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step_weights": self.step_weights.tolist()}
