"""Charts: a frame in, a matplotlib Figure out.

Nothing is saved and pyplot is never imported, so that no window can open and
no state is shared. Every chart is 7 × 4.5 inches with text of 10 points or
more (the footer alone has 8), which still reads in a print column and on a
phone. Colours differ in lightness too, for greyscale and colour-blind readers.
"""

from lstmcli.charts.attention import attention_chart
from lstmcli.charts.backtest import backtest_chart
from lstmcli.charts.calibration import calibration_chart
from lstmcli.charts.forecast import forecast_chart
from lstmcli.charts.live import live_chart
from lstmcli.charts.training import training_chart

__all__ = [
    "attention_chart",
    "backtest_chart",
    "calibration_chart",
    "forecast_chart",
    "live_chart",
    "training_chart",
]
