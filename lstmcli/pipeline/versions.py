"""The versions that forecasts depend on."""

from __future__ import annotations

import importlib.metadata

from lstmcli.version import __version__

LIBRARIES = ("tensorflow", "keras", "numba", "numpy", "pandas", "scikit-learn", "TA-Lib")


def versions() -> dict[str, str]:
    """Return the versions of this program and of the libraries that it forecasts with."""
    return {
        "lstmcli": __version__,
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }
