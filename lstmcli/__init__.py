"""Forecast stocks with LSTM networks, and say how sure the forecast is.

Shape letters, used in every docstring:

    T  sessions          N  windows            L  lookback
    F  features          H  horizon            Q  quantile levels
    U  units
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lstmcli.errors import LstmError
from lstmcli.version import __version__ as __version__

__all__ = ["LstmError", "backtest", "forecast", "load_run", "read_bars", "score"]

if TYPE_CHECKING:
    from lstmcli.interface import backtest, forecast, load_run, read_bars, score
else:
    # The interface imports pandas, for which `lstm --help` must not wait.
    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("lstmcli.interface"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
