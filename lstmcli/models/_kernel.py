"""An LSTM over whole sequences, forward and backward, compiled for this machine's CPU.

Imports numba at its top, which takes a second or two: only `layers` imports it, and late.

A matrix is kept in *panels*: `COLUMNS` neighbouring columns, row after row, then the
next `COLUMNS`. A product then reads memory in the order in which it lies, and the weights
are brought into that order once a batch, not once a session. A batch is worked through in
blocks of at most `BLOCK` windows, whose numbers stay in the cache.

The panels of a block of B windows, with U units in P = ceil(U / COLUMNS) panels:

    inputs  (L + 1, B, D)              outputs of the session before, x, 1 (for the bias), zeros
    gates   (L, 4, P, B, COLUMNS)      i, f, g, o, as Keras orders them
    cells   (L + 1, P, B, COLUMNS)     the state before each session, and the last

Source: Hochreiter, Schmidhuber (1997), Long Short-Term Memory; Goto, van de Geijn (2008),
Anatomy of High-Performance Matrix Multiplication.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from lstmcli.models._memory import empty

log = logging.getLogger(__name__)

# A tile of a product is held in registers: ROWS x COLUMNS sums. 32 registers of sixteen
# numbers hold 8 x 2 of them; sixteen registers of eight hold 4 x 2.
_features = numba.config.CPU_FEATURES or get_host_cpu_features()  # type: ignore[attr-defined]
_WIDE = "+avx512f" in _features
ROWS, VECTORS, WIDTH = (8, 2, 16) if _WIDE else (4, 2, 8)
COLUMNS = VECTORS * WIDTH
BLOCK = 32
"""Windows worked on together; a multiple of ROWS."""

# A product and a sum may become one instruction. Nothing may assume that numbers are
# finite: a training that diverges must show it.
_MATH = {"contract", "nsz"}

_float = np.float32
_ONE, _TWO, _HALF = _float(1), _float(2), _float(0.5)
_LEAST, _MOST = _float(-80), _float(80)  # beyond, float32 has no exp(x)
_LN_2, _PER_LN_2 = _float(math.log(2)), _float(-1 / math.log(2))
# exp(-r) for |r| <= ln(2) / 2, to half a unit of float32's last digit.
_C0, _C1, _C2, _C3, _C4, _C5 = (
    _float(coefficient)
    for coefficient in np.polynomial.Chebyshev.interpolate(
        lambda r: np.exp(-r), 5, domain=[-math.log(2) / 2, math.log(2) / 2]
    )
    .convert(kind=np.polynomial.Polynomial)
    .coef
)


_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": _MATH, "error_model": "numpy"}
_part = numba.njit(**_OPTIONS)
_inlined = numba.njit(inline="always", fastmath=_MATH, error_model="numpy")


def _compiled(*signature: Any) -> Callable[[Callable], Any]:
    """Compile a function at once; keep the result on disk where a folder allows that."""

    def decorate(function: Callable) -> Any:
        declared = types.void(*signature)
        try:
            return numba.njit(declared, cache=True, **_OPTIONS)(function)
        except (RuntimeError, OSError) as error:  # no folder to write to, or a full one
            log.debug("compiles %s anew each time: %s", function.__name__, error)
            return numba.njit(declared, **_OPTIONS)(function)

    return decorate


@intrinsic
def _multiply_add(
    typing: Any,
    fresh: Any,
    sums: Any,
    first: Any,
    left: Any,
    left_first: Any,
    row_step: Any,
    depth_step: Any,
    right: Any,
    right_first: Any,
    depth: Any,
) -> Any:
    """Add left (ROWS, depth) · right (depth, COLUMNS) to a tile of `sums`, or set it if `fresh`.

    All three are flat float32 arrays with the place of their first number; `left` has its own
    steps between rows and along the depth, `sums` and `right` are panels. A loop that Python
    can write keeps its sums in memory; these stay in registers.
    """
    index = types.intp
    signature = types.void(
        types.boolean, sums, index, left, index, index, index, right, index, index
    )

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        fresh, sums, first, left, left_first, row_step, depth_step, right, right_first, depth = (
            values
        )
        vector = ir.VectorType(ir.FloatType(), WIDTH)

        def start(position: int, array: Any, offset: Any) -> Any:
            data = context.make_array(signature.args[position])(context, builder, array).data
            return builder.gep(data, [offset])

        def constant(number: int) -> Any:
            return ir.Constant(first.type, number)

        def vector_at(pointer: Any, offset: int) -> Any:
            place = builder.gep(pointer, [constant(offset)])
            return builder.bitcast(place, vector.as_pointer())

        def load(pointer: Any, offset: int) -> Any:
            loaded = builder.load(vector_at(pointer, offset))
            loaded.align = 4
            return loaded

        sums = start(1, sums, first)
        left, right = start(3, left, left_first), start(7, right, right_first)
        rows = [builder.gep(left, [builder.mul(row_step, constant(n))]) for n in range(ROWS)]
        zeros = ir.Constant(vector, [0.0] * WIDTH)
        initial = [
            builder.select(fresh, zeros, load(sums, n * WIDTH)) for n in range(ROWS * VECTORS)
        ]
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("loop", "after"))
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(first.type)
        k.add_incoming(constant(0), before)
        totals = [builder.phi(vector) for _ in initial]
        for total, value in zip(totals, initial, strict=True):
            total.add_incoming(value, before)
        row = builder.gep(right, [builder.mul(k, constant(COLUMNS))])
        factors = [load(row, n * WIDTH) for n in range(VECTORS)]
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        undefined = ir.Constant(vector, ir.Undefined)
        sums_now: list[Any] = []
        for n in range(ROWS):
            number = builder.load(builder.gep(rows[n], [builder.mul(k, depth_step)]))
            number = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
            number = builder.shuffle_vector(number, undefined, everywhere)
            for factor in factors:
                product = builder.fmul(number, factor, flags=("contract",))
                total = totals[len(sums_now)]
                sums_now.append(builder.fadd(product, total, flags=("contract",)))
        following = builder.add(k, constant(1))
        k.add_incoming(following, loop)
        for total, value in zip(totals, sums_now, strict=True):
            total.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
        builder.position_at_end(after)
        for n, value in enumerate(sums_now):
            builder.store(value, vector_at(sums, n * WIDTH)).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _power_of_two(typing: Any, exponent: Any) -> Any:
    """Return 2^exponent, exponent an int32 of −126…127, by writing the bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        whole = values[0].type
        biased = builder.add(values[0], ir.Constant(whole, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(whole, 23)), ir.FloatType())

    return types.float32(types.int32), generate


@_inlined
def _exp_minus(x):
    # Written so that a NaN passes both comparisons.
    x = _LEAST if x < _LEAST else x
    x = _MOST if x > _MOST else x
    n = np.floor(x * _PER_LN_2 + _HALF)
    r = x + n * _LN_2  # exp(-x) = 2^n · exp(-r)
    p = _C0 + r * (_C1 + r * (_C2 + r * (_C3 + r * (_C4 + r * _C5))))
    return p * _power_of_two(np.int32(n))


@_inlined
def _sigmoid_of(x):
    return _ONE / (_ONE + _exp_minus(x))


@_inlined
def _tanh_of(x):
    return _TWO / (_ONE + _exp_minus(_TWO * x)) - _ONE


# Each loop below writes one array and reads few, or LLVM would not make vectors of it.


@_part
def _sigmoid(z):
    for n in range(z.size):
        z[n] = _sigmoid_of(z[n])


@_part
def _tanh(z):
    for n in range(z.size):
        z[n] = _tanh_of(z[n])


@_part
def _multiply(x, y):
    for n in range(x.size):
        y[n] *= x[n]


@_part
def _next_cell(i, f, g, cell, following):
    for n in range(i.size):
        following[n] = f[n] * cell[n] + i[n] * g[n]


@_part
def _cell_gradient(dh, o, tanh, dc):
    for n in range(dh.size):
        dc[n] += dh[n] * o[n] * (_ONE - tanh[n] * tanh[n])


@_part
def _sigmoid_gradient(upstream, factor, s, dz):
    for n in range(s.size):
        dz[n] = upstream[n] * factor[n] * s[n] * (_ONE - s[n])


@_part
def _tanh_gradient(upstream, factor, g, dz):
    for n in range(g.size):
        dz[n] = upstream[n] * factor[n] * (_ONE - g[n] * g[n])


@_part
def _scatter(windows, panels, block):
    """Bring windows (N, U), N ≤ block, into panels (P, block, COLUMNS); the rest stays."""
    for n in range(windows.shape[0]):
        for u in range(windows.shape[1]):
            panels[(u // COLUMNS * block + n) * COLUMNS + u % COLUMNS] = windows[n, u]


@_part
def _gather(panels, windows, block):
    """The way back from `_scatter`."""
    units = windows.shape[1]
    for first in range(0, units, COLUMNS):
        for n in range(windows.shape[0]):
            source = (first // COLUMNS * block + n) * COLUMNS
            for j in range(min(COLUMNS, units - first)):
                windows[n, first + j] = panels[source + j]


@_part
def _weights_forward(kernel, recurrent, bias, depth, weights):
    """Fill panels (4, P, depth, COLUMNS); the rows are those of the recurrent kernel, x, 1."""
    units, features = recurrent.shape[0], kernel.shape[0]
    panels = -(-units // COLUMNS)
    weights[:] = 0
    for gate in range(4):
        for panel in range(panels):
            width = min(COLUMNS, units - panel * COLUMNS)
            column = gate * units + panel * COLUMNS
            to = (gate * panels + panel) * depth * COLUMNS
            for k in range(units + features + 1):
                for j in range(width):
                    if k < units:
                        weights[to + j] = recurrent[k, column + j]
                    elif k < units + features:
                        weights[to + j] = kernel[k - units, column + j]
                    else:
                        weights[to + j] = bias[column + j]
                to += COLUMNS


@_part
def _weights_backward(weights, units, transposed):
    """Fill panels (ceil(K / COLUMNS), 4·P, COLUMNS²) with the transpose of weights (K, 4·U)."""
    panels = -(-units // COLUMNS)
    length = 4 * panels * COLUMNS
    count = weights.shape[0]
    transposed[:] = 0
    for k in range(count):
        column = k // COLUMNS * length * COLUMNS + k % COLUMNS
        for gate in range(4):
            to = column + gate * panels * COLUMNS * COLUMNS
            for u in range(units):
                transposed[to + u * COLUMNS] = weights[k, gate * units + u]


@_part
def _times_transposed(dz, weights, panels, rows, block, result):
    """Set result (·, block, COLUMNS) to the product of dz (panels, block, COLUMNS) and weights."""
    for to in range(result.size // (block * COLUMNS)):
        for panel in range(panels):
            for n in range(0, rows, ROWS):
                _multiply_add(
                    panel == 0,
                    result,
                    (to * block + n) * COLUMNS,
                    dz,
                    (panel * block + n) * COLUMNS,
                    COLUMNS,
                    1,
                    weights,
                    (to * panels + panel) * COLUMNS * COLUMNS,
                    COLUMNS,
                )


_in1, _in2, _in3 = (types.Array(types.float32, n, "C", readonly=True) for n in (1, 2, 3))
_out1, _out2, _out3 = (types.Array(types.float32, n, "C") for n in (1, 2, 3))
_size = types.intp


@_part
def _sizes(sessions, features, units, block):
    """Return the row length of the inputs, a gate of a session, and all of a block's three."""
    depth = -(-(units + features + 1) // ROWS) * ROWS
    one = -(-units // COLUMNS) * COLUMNS * block
    return (
        depth,
        one,
        (sessions + 1) * block * depth,
        sessions * 4 * one,
        (sessions + 1) * one,
    )


@_compiled(_in3, _in2, _in2, _in2, _in2, _in1, _size, types.boolean, _out3, _out2, _out1, _out1)
def _forward(x, h, c, kernel, recurrent, bias, block, keep, outputs, state, memory, scratch):
    windows, sessions, features = x.shape
    units = recurrent.shape[0]
    used = units + features + 1
    panels = -(-units // COLUMNS)
    first_output = sessions - outputs.shape[1]
    depth, one, inputs_size, gates_size, cells_size = _sizes(sessions, features, units, block)
    output, weights = scratch[:one], scratch[one:]
    _weights_forward(kernel, recurrent, bias, depth, weights)
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
                # What lies there by chance would slow down sums that nobody reads.
                inputs[row + features + 1 : row + depth - units] = 0
            for u in range(units):
                inputs[n * depth + u] = h[begin + n, u]
        cells[:one] = 0  # also where a panel has no unit, or the gradient reads it
        _scatter(c[begin : begin + rows], cells, block)
        for t in range(sessions):
            now = gates[t * 4 * one : (t + 1) * 4 * one]
            i, f, g, o = now[:one], now[one : 2 * one], now[2 * one : 3 * one], now[3 * one :]
            cell, following = cells[t * one :][:one], cells[(t + 1) * one :][:one]
            for panel in range(4 * panels):
                for n in range(0, rows, ROWS):
                    _multiply_add(
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
            _sigmoid(now[: 2 * one])
            _tanh(g)
            _sigmoid(o)
            _next_cell(i, f, g, cell, following)
            output[:] = following
            _tanh(output)
            _multiply(o, output)
            for panel in range(panels):
                width = min(COLUMNS, units - panel * COLUMNS)
                for n in range(rows):
                    to = ((t + 1) * block + n) * depth + panel * COLUMNS
                    source = (panel * block + n) * COLUMNS
                    for j in range(width):
                        inputs[to + j] = output[source + j]
            if t >= first_output:
                _gather(output, outputs[begin : begin + rows, t - first_output], block)
        _gather(cells[sessions * one :], state[begin : begin + rows], block)


@_compiled(_in3, _in2, _in3, _in2, _in1, _size, _out1, _out2, _out2, _out2, _out1)
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
    _weights_backward(recurrent, units, transposed)
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
        _scatter(d_state[begin : begin + rows], d_cell, block)
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
            _tanh(tanh)
            _cell_gradient(d_output, o, tanh, d_cell)
            _sigmoid_gradient(d_cell, g, i, d_now[:one])
            _sigmoid_gradient(d_cell, cells[t * one :][:one], f, d_now[one : 2 * one])
            _tanh_gradient(d_cell, i, g, d_now[2 * one : 3 * one])
            _sigmoid_gradient(d_output, tanh, o, d_now[3 * one :])
            _multiply(f, d_cell)
            for panel in range(4 * panels):
                for k in range(0, depth, ROWS):
                    _multiply_add(
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
            _times_transposed(d_now, transposed, 4 * panels, rows, block, d_output)
        _gather(d_output, dh[begin : begin + rows], block)
        _gather(d_cell, dc[begin : begin + rows], block)
    for gate in range(4):
        for u in range(units):
            source = (gate * panels + u // COLUMNS) * depth * COLUMNS + u % COLUMNS
            for k in range(used):
                d_weights[k, gate * units + u] = totals[source + k * COLUMNS]


@_compiled(_in1, _in2, _size, _out3, _out1)
def _input_gradient(dz, kernel, block, dx, scratch):
    windows, sessions, features = dx.shape
    units = kernel.shape[1] // 4
    panels = 4 * -(-units // COLUMNS)
    size = -(-features // COLUMNS) * COLUMNS * block
    result, transposed = scratch[:size], scratch[size:]
    _weights_backward(kernel, units, transposed)
    at = 0
    for begin in range(0, windows, block):
        rows = min(block, windows - begin)
        for t in range(sessions):
            now = dz[at : at + panels * COLUMNS * block]
            at += now.size
            _times_transposed(now, transposed, panels, rows, block, result)
            _gather(result, dx[begin : begin + rows, t], block)


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
        keep: keep for `backward` what it needs.

    Returns:
        outputs (N, L or 1, U), last state (N, U), and what was kept: a flat array of the
        inputs, gates and cells of one block after the other.
    """
    windows, sessions, features = x.shape
    units, block = len(recurrent), _block(windows)
    depth, one, *sizes = _sizes.py_func(sessions, features, units, block)
    outputs = empty(windows, sessions if every else 1, units)
    state = np.empty((windows, units), np.float32)
    memory = empty((-(-windows // block) if keep else 1) * sum(sizes))
    scratch = empty(one + 4 * _padded(units) * depth)
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
    """Return the gradients of a loss whose gradients by the two results of `forward` are given.

    Returns:
        dz for `input_gradient`; by kernel, recurrent kernel, bias, h and c.
    """
    windows, sessions, features = x.shape
    units, block = len(recurrent), _block(windows)
    depth, one, _, gates_size, _ = _sizes.py_func(sessions, features, units, block)
    dz = empty(-(-windows // block) * gates_size)
    weights = np.empty((units + features + 1, 4 * units), np.float32)
    dh, dc = np.empty((2, windows, units), np.float32)
    padded = _padded(units)
    scratch = empty(3 * one + 4 * padded * (depth + padded))
    _backward(
        *(d_outputs, d_state, x, recurrent, memory, block),
        *(dz, weights, dh, dc, scratch),
    )
    return dz, weights[units:-1], weights[:units], weights[-1], dh, dc


def input_gradient(dz: np.ndarray, kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the gradient by windows x (N, L, F) from the dz of `backward`."""
    dx = empty(*x.shape)
    block, columns = _block(len(x)), _padded(len(kernel))
    scratch = empty(columns * (block + 4 * _padded(kernel.shape[1] // 4)))
    _input_gradient(dz, kernel, block, dx, scratch)
    return dx


def _block(windows: int) -> int:
    return min(BLOCK, max(1, -(-windows // ROWS)) * ROWS)


def _padded(columns: int) -> int:
    return -(-columns // COLUMNS) * COLUMNS
