"""The versions that forecasts depend on."""

from __future__ import annotations

import importlib.metadata
import platform

from lstmcli.version import __version__

LIBRARIES = ("tensorflow", "keras", "numba", "numpy", "pandas", "scikit-learn", "TA-Lib")


def versions() -> dict[str, str]:
    """Return the versions of this program and of the libraries that it forecasts with."""
    return {
        "lstmcli": __version__,
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def versions_to_compare() -> dict[str, str]:
    """Return what processes must share to give the same digits and to read each other."""
    return {"python": platform.python_version(), **versions()}
