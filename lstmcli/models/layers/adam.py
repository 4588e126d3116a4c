"""The optimiser that every network is trained with."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="lstmcli")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with the same state and numbers, in one operation a variable.

    Keras uses twenty operations. In networks of this size they take as long as all
    operations of the network itself.

    Source: Kingma, Ba (2015), Adam: A Method for Stochastic Optimization, arXiv:1412.6980.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        step = tf.cast(self.iterations + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        number = self._get_variable_index(variable)
        state = variable, self._momentums[number], self._velocities[number]
        handles = [
            (slot.value if isinstance(slot, keras.Variable) else slot).handle for slot in state
        ]
        powers = self._powers
        tf.raw_ops.ResourceApplyAdam(
            **dict(zip(("var", "m", "v"), handles, strict=True)),
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.convert_to_tensor(learning_rate),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
