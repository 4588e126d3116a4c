"""An LSTM over whole sequences, forward and backward.

A batch is worked through in blocks of at most BLOCK windows, whose numbers stay in the cache
of the CPU. The memory of a block of B windows, with U units in P = ceil(U / COLUMNS) panels:

    inputs  (L + 1, B, D)              outputs of the session before, x, 1 (for the bias), zeros
    gates   (L, 4, P, B, COLUMNS)      i, f, g, o, in the order of Keras
    cells   (L + 1, P, B, COLUMNS)     the state before each session, and the last

Imports numba and compiles on import: only `load_kernel` imports this module, late.

Source: Hochreiter, Schmidhuber (1997), Long Short-Term Memory.
"""

from __future__ import annotations

import numpy as np
from numba.core import types

from lstmcli.models.kernel.buffers import empty
from lstmcli.models.kernel.panels import (
    multiply_panels,
    pack_transpose,
    pack_weights,
    pack_windows,
    padded,
    unpack_windows,
)
from lstmcli.models.kernel.tile import (
    COLUMNS,
    ROWS,
    add_cell_gradient,
    apply_sigmoid,
    apply_tanh,
    compiled,
    multiply_add,
    multiply_into,
    part,
    set_next_cell,
    set_sigmoid_gradient,
    set_tanh_gradient,
)

BLOCK = 32
"""Windows worked on together; a multiple of ROWS."""

_ONE = np.float32(1)

_in1, _in2, _in3 = (types.Array(types.float32, n, "C", readonly=True) for n in (1, 2, 3))
_out1, _out2, _out3 = (types.Array(types.float32, n, "C") for n in (1, 2, 3))
_size = types.intp


@part
def _sizes(sessions, features, units, block):
    """Return D, the size of one gate of a session, and the sizes of inputs, gates, cells."""
    depth = -(-(units + features + 1) // ROWS) * ROWS
    one = -(-units // COLUMNS) * COLUMNS * block
    return (
        depth,
        one,
        (sessions + 1) * block * depth,
        sessions * 4 * one,
        (sessions + 1) * one,
    )


@compiled(_in3, _in2, _in2, _in2, _in2, _in1, _size, types.boolean, _out3, _out2, _out1, _out1)
def _forward(x, h, c, kernel, recurrent, bias, block, keep, outputs, state, memory, scratch):
    windows, sessions, features = x.shape
    units = recurrent.shape[0]
    used = units + features + 1
    panels = -(-units // COLUMNS)
    first_output = sessions - outputs.shape[1]
    depth, one, inputs_size, gates_size, cells_size = _sizes(sessions, features, units, block)
    output, weights = scratch[:one], scratch[one:]
    pack_weights(kernel, recurrent, bias, depth, weights)
    at = 0
    for begin in range(0, windows, block):
        rows = min(block, windows - begin)
        inputs = memory[at : at + inputs_size]
        gates = memory[at + inputs_size : at + inputs_size + gates_size]
        cells = memory[at + inputs_size + gates_size :][:cells_size]
        if keep:
            at += inputs_size + gates_size + cells_size
        if rows < block:
            inputs[:] = 0
        for n in range(rows):
            for t in range(sessions):
                row = (t * block + n) * depth + units
                for k in range(features):
                    inputs[row + k] = x[begin + n, t, k]
                inputs[row + features] = _ONE
                # Old numbers there may be subnormal, which are slow to multiply.
                inputs[row + features + 1 : row + depth - units] = 0
            for u in range(units):
                inputs[n * depth + u] = h[begin + n, u]
        cells[:one] = 0  # columns without a unit too: the gradient reads them
        pack_windows(c[begin : begin + rows], cells, block)
        for t in range(sessions):
            now = gates[t * 4 * one : (t + 1) * 4 * one]
            i, f, g, o = now[:one], now[one : 2 * one], now[2 * one : 3 * one], now[3 * one :]
            cell, following = cells[t * one :][:one], cells[(t + 1) * one :][:one]
            for panel in range(4 * panels):
                for n in range(0, rows, ROWS):
                    multiply_add(
                        True,
                        now,
                        (panel * block + n) * COLUMNS,
                        inputs,
                        (t * block + n) * depth,
                        depth,
                        1,
                        weights,
                        panel * depth * COLUMNS,
                        used,
                    )
            apply_sigmoid(now[: 2 * one])
            apply_tanh(g)
            apply_sigmoid(o)
            set_next_cell(i, f, g, cell, following)
            output[:] = following
            apply_tanh(output)
            multiply_into(o, output)
            for panel in range(panels):
                width = min(COLUMNS, units - panel * COLUMNS)
                for n in range(rows):
                    to = ((t + 1) * block + n) * depth + panel * COLUMNS
                    source = (panel * block + n) * COLUMNS
                    for j in range(width):
                        inputs[to + j] = output[source + j]
            if t >= first_output:
                unpack_windows(output, outputs[begin : begin + rows, t - first_output], block)
        unpack_windows(cells[sessions * one :], state[begin : begin + rows], block)


@compiled(_in3, _in2, _in3, _in2, _in1, _size, _out1, _out2, _out2, _out2, _out1)
def _backward(d_outputs, d_state, x, recurrent, memory, block, dz, d_weights, dh, dc, scratch):
    windows, sessions, features = x.shape
    units = recurrent.shape[0]
    used = units + features + 1
    panels = -(-units // COLUMNS)
    first_output = sessions - d_outputs.shape[1]
    depth, one, inputs_size, gates_size, cells_size = _sizes(sessions, features, units, block)
    d_output, d_cell, tanh = scratch[:one], scratch[one : 2 * one], scratch[2 * one : 3 * one]
    totals = scratch[3 * one :][: 4 * panels * depth * COLUMNS]
    transposed = scratch[3 * one + totals.size :]
    pack_transpose(recurrent, units, transposed)
    totals[:] = 0
    at = 0
    for begin in range(0, windows, block):
        rows = min(block, windows - begin)
        inputs = memory[at : at + inputs_size]
        gates = memory[at + inputs_size : at + inputs_size + gates_size]
        cells = memory[at + inputs_size + gates_size :][:cells_size]
        at += inputs_size + gates_size + cells_size
        d_gates = dz[begin // block * gates_size :][:gates_size]
        d_output[:] = 0
        d_cell[:] = 0
        pack_windows(d_state[begin : begin + rows], d_cell, block)
        for t in range(sessions - 1, -1, -1):
            now, d_now = gates[t * 4 * one :][: 4 * one], d_gates[t * 4 * one :][: 4 * one]
            i, f, g, o = now[:one], now[one : 2 * one], now[2 * one : 3 * one], now[3 * one :]
            if t >= first_output:
                for panel in range(panels):
                    width = min(COLUMNS, units - panel * COLUMNS)
                    for n in range(rows):
                        to = (panel * block + n) * COLUMNS
                        upstream = d_outputs[begin + n, t - first_output, panel * COLUMNS :]
                        for j in range(width):
                            d_output[to + j] += upstream[j]
            tanh[:] = cells[(t + 1) * one :][:one]
            apply_tanh(tanh)
            add_cell_gradient(d_output, o, tanh, d_cell)
            set_sigmoid_gradient(d_cell, g, i, d_now[:one])
            set_sigmoid_gradient(d_cell, cells[t * one :][:one], f, d_now[one : 2 * one])
            set_tanh_gradient(d_cell, i, g, d_now[2 * one : 3 * one])
            set_sigmoid_gradient(d_output, tanh, o, d_now[3 * one :])
            multiply_into(f, d_cell)
            for panel in range(4 * panels):
                for k in range(0, depth, ROWS):
                    multiply_add(
                        False,
                        totals,
                        (panel * depth + k) * COLUMNS,
                        inputs,
                        t * block * depth + k,
                        1,
                        depth,
                        d_now,
                        panel * block * COLUMNS,
                        rows,
                    )
            multiply_panels(d_now, transposed, 4 * panels, rows, block, d_output)
        unpack_windows(d_output, dh[begin : begin + rows], block)
        unpack_windows(d_cell, dc[begin : begin + rows], block)
    for gate in range(4):
        for u in range(units):
            source = (gate * panels + u // COLUMNS) * depth * COLUMNS + u % COLUMNS
            for k in range(used):
                d_weights[k, gate * units + u] = totals[source + k * COLUMNS]


@compiled(_in1, _in2, _size, _out3, _out1)
def _input_gradient(dz, kernel, block, dx, scratch):
    windows, sessions, features = dx.shape
    units = kernel.shape[1] // 4
    panels = 4 * -(-units // COLUMNS)
    size = -(-features // COLUMNS) * COLUMNS * block
    result, transposed = scratch[:size], scratch[size:]
    pack_transpose(kernel, units, transposed)
    at = 0
    for begin in range(0, windows, block):
        rows = min(block, windows - begin)
        for t in range(sessions):
            now = dz[at : at + panels * COLUMNS * block]
            at += now.size
            multiply_panels(now, transposed, panels, rows, block, result)
            unpack_windows(result, dx[begin : begin + rows, t], block)


def forward(
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    kernel: np.ndarray,
    recurrent: np.ndarray,
    bias: np.ndarray,
    *,
    every: bool,
    keep: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run an LSTM over windows x (N, L, F) from states h and c (N, U), all float32.

    Args:
        kernel: (F, 4·U), `recurrent` (U, 4·U), `bias` (4·U,), gates in the order of Keras.
        every: return the outputs of every session, not of the last one alone.
        keep: keep what `backward` needs.

    Returns:
        outputs (N, L or 1, U), last cell states (N, U), and the memory that was kept: flat,
        with inputs, gates and cells of the first block, then of the second, and so on.
    """
    windows, sessions, features = x.shape
    units, block = len(recurrent), _block(windows)
    depth, one, *sizes = _sizes.py_func(sessions, features, units, block)
    outputs = empty(windows, sessions if every else 1, units)
    state = np.empty((windows, units), np.float32)
    memory = empty((-(-windows // block) if keep else 1) * sum(sizes))
    scratch = empty(one + 4 * padded(units) * depth)
    _forward(
        *(x, h, c, kernel, recurrent, bias, block, keep),
        *(outputs, state, memory, scratch),
    )
    return outputs, state, memory


def backward(
    d_outputs: np.ndarray,
    d_state: np.ndarray,
    x: np.ndarray,
    recurrent: np.ndarray,
    memory: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Return the gradients of a loss, given those of the two results of `forward`.

    Args:
        d_outputs: (N, L or 1, U), gradient of the outputs.
        d_state: (N, U), gradient of the last cell states.
        memory: what `forward` returned when called with `keep`.

    Returns:
        dz, which `input_gradient` takes, and the gradients of kernel, recurrent kernel, bias,
        h and c.
    """
    windows, sessions, features = x.shape
    units, block = len(recurrent), _block(windows)
    depth, one, _, gates_size, _ = _sizes.py_func(sessions, features, units, block)
    dz = empty(-(-windows // block) * gates_size)
    weights = np.empty((units + features + 1, 4 * units), np.float32)
    dh, dc = np.empty((2, windows, units), np.float32)
    columns = padded(units)
    scratch = empty(3 * one + 4 * columns * (depth + columns))
    _backward(
        *(d_outputs, d_state, x, recurrent, memory, block),
        *(dz, weights, dh, dc, scratch),
    )
    return dz, weights[units:-1], weights[:units], weights[-1], dh, dc


def input_gradient(dz: np.ndarray, kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the gradient of windows x (N, L, F) from the dz of `backward`."""
    dx = empty(*x.shape)
    block, columns = _block(len(x)), padded(len(kernel))
    scratch = empty(columns * (block + 4 * padded(kernel.shape[1] // 4)))
    _input_gradient(dz, kernel, block, dx, scratch)
    return dx


def _block(windows: int) -> int:
    return min(BLOCK, max(1, -(-windows // ROWS)) * ROWS)
