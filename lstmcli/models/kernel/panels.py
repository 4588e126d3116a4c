"""How the kernel lays out matrices: in panels.

A panel holds COLUMNS neighbouring columns of a matrix, row after row:

    matrix (R, C)   →   panels (ceil(C / COLUMNS), R, COLUMNS), the last filled up with zeros

A product then reads memory in the order in which it lies. The weights are packed into panels
once a batch, not once a session. All arrays here are flat unless their shape is given.

Imports numba: only `load_kernel` imports this module, late.
"""

from __future__ import annotations

from lstmcli.models.kernel.tile import COLUMNS, ROWS, multiply_add, part


def padded(columns: int) -> int:
    """Return the number of columns filled up to whole panels."""
    return -(-columns // COLUMNS) * COLUMNS


@part
def pack_windows(windows, panels, block):
    """Copy windows (N, U), N ≤ block, into panels (P, block, COLUMNS).

    What no window fills stays as it is.
    """
    for n in range(windows.shape[0]):
        for u in range(windows.shape[1]):
            panels[(u // COLUMNS * block + n) * COLUMNS + u % COLUMNS] = windows[n, u]


@part
def unpack_windows(panels, windows, block):
    """Copy panels (P, block, COLUMNS) into windows (N, U): the inverse of `pack_windows`."""
    units = windows.shape[1]
    for first in range(0, units, COLUMNS):
        for n in range(windows.shape[0]):
            source = (first // COLUMNS * block + n) * COLUMNS
            for j in range(min(COLUMNS, units - first)):
                windows[n, first + j] = panels[source + j]


@part
def pack_weights(kernel, recurrent, bias, depth, weights):
    """Pack the weights of the four gates into panels `weights` (4, P, depth, COLUMNS).

    The rows of a panel: the recurrent kernel, the kernel, the bias, zeros.
    """
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


@part
def pack_transpose(weights, units, transposed):
    """Pack the transpose of weights (K, 4·U) into panels (ceil(K / COLUMNS), 4·P, COLUMNS²)."""
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


@part
def multiply_panels(dz, weights, panels, rows, block, result):
    """Set result (·, block, COLUMNS) to dz (panels, block, COLUMNS) · weights.

    `weights` comes from `pack_transpose`; only the first `rows` of the block are computed.
    """
    for to in range(result.size // (block * COLUMNS)):
        for panel in range(panels):
            for n in range(0, rows, ROWS):
                multiply_add(
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
