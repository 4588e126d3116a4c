"""Forecast stocks with LSTM networks, and say how sure the forecast is.

Shape letters, used in every docstring:

    T  sessions          N  windows            L  lookback
    F  features          H  horizon            Q  quantile levels
    U  units
"""

__version__ = "0.1.0"
