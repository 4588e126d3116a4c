"""Forecast stocks with LSTM networks, and say how sure the forecast is.

Shape letters, used in every docstring:

    T  sessions          N  windows            L  lookback
    F  features          H  horizon            Q  quantile levels
    U  units
"""

import os

# It would import numba, a second's work, for loops that it brings compiled.
os.environ.setdefault("ARCH_DISABLE_NUMBA", "1")

__version__ = "0.1.0"
