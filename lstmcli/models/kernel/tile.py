"""What the kernel is made of: a product in registers, exp, and loops over elements.

The product of two matrices is computed tile by tile. The sums of a tile, ROWS x COLUMNS of
them, stay in the registers of the CPU until the tile is done.

Imports numba, which takes a second or two: only `load_kernel` imports this module, late.

Source: Goto, van de Geijn (2008), Anatomy of High-Performance Matrix Multiplication.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

log = logging.getLogger(__name__)

_features = numba.config.CPU_FEATURES or get_host_cpu_features()  # type: ignore[attr-defined]
# With AVX-512 there are 32 registers of sixteen numbers: 8 x 2 hold a tile, and the rest what
# is multiplied. Other CPUs have sixteen registers, of eight numbers at most.
ROWS, VECTORS, WIDTH = (8, 2, 16) if "+avx512f" in _features else (4, 2, 8)
COLUMNS = VECTORS * WIDTH

# LLVM may join a product and a sum to one instruction. It may not assume that numbers are
# finite, or a training that diverges would not show it.
_MATH = {"contract", "nsz"}

_float = np.float32
_ONE, _TWO, _HALF = _float(1), _float(2), _float(0.5)
_MIN, _MAX = _float(-80), _float(80)  # exp(±88) is the limit of float32
_LN_2, _PER_LN_2 = _float(math.log(2)), _float(-1 / math.log(2))
# exp(-r) for |r| <= ln(2) / 2, within half a unit of float32's last digit.
_C0, _C1, _C2, _C3, _C4, _C5 = (
    _float(coefficient)
    for coefficient in np.polynomial.Chebyshev.interpolate(
        lambda r: np.exp(-r), 5, domain=[-math.log(2) / 2, math.log(2) / 2]
    )
    .convert(kind=np.polynomial.Polynomial)
    .coef
)

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": _MATH, "error_model": "numpy"}
part = numba.njit(**_OPTIONS)
_inlined = numba.njit(inline="always", fastmath=_MATH, error_model="numpy")


def compiled(*signature: Any) -> Callable[[Callable], Any]:
    """Compile a function when it is defined; keep the result on disk if there is a place."""

    def decorate(function: Callable) -> Any:
        declared = types.void(*signature)
        try:
            # numba looks for changes in the file of the function alone. The name of what it
            # keeps follows the name of the function, so the other files of the kernel enter that.
            function.__qualname__ += f"_{_sources_crc32():08x}"
            return numba.njit(declared, cache=True, **_OPTIONS)(function)
        except (RuntimeError, OSError) as error:  # no folder to write to, or a full disk
            log.debug("compiles %s anew each time: %s", function.__name__, error)
            return numba.njit(declared, **_OPTIONS)(function)

    return decorate


def _sources_crc32() -> int:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


@intrinsic
def multiply_add(
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
    """Add left (ROWS, depth) · right (depth, COLUMNS) to a tile of `sums`; if `fresh`, set it.

    All three are flat float32 arrays, each followed by the place of its first number. `left`
    also has the steps from row to row and along the depth; `sums` and `right` are panels.
    Written in LLVM's instructions, because numba keeps the sums of a Python loop in memory.
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
    # Both comparisons are false for a NaN, which stays one.
    x = _MIN if x < _MIN else x
    x = _MAX if x > _MAX else x
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


# Each loop below writes one array and reads few. LLVM makes no vectors of longer ones.


@part
def apply_sigmoid(z):
    for n in range(z.size):
        z[n] = _sigmoid_of(z[n])


@part
def apply_tanh(z):
    for n in range(z.size):
        z[n] = _tanh_of(z[n])


@part
def multiply_into(x, y):
    for n in range(x.size):
        y[n] *= x[n]


@part
def set_next_cell(i, f, g, cell, following):
    for n in range(i.size):
        following[n] = f[n] * cell[n] + i[n] * g[n]


@part
def add_cell_gradient(dh, o, tanh, dc):
    for n in range(dh.size):
        dc[n] += dh[n] * o[n] * (_ONE - tanh[n] * tanh[n])


@part
def set_sigmoid_gradient(upstream, factor, s, dz):
    for n in range(s.size):
        dz[n] = upstream[n] * factor[n] * s[n] * (_ONE - s[n])


@part
def set_tanh_gradient(upstream, factor, g, dz):
    for n in range(g.size):
        dz[n] = upstream[n] * factor[n] * (_ONE - g[n] * g[n])
