"""Charts: a frame in, a matplotlib Figure out.

Nothing is saved and pyplot is never imported, so that no window can open and
no state is shared. A `Theme` says what a chart is drawn for: paper, 7 inches wide, or a phone,
3.5 inches wide; light or dark. Text has 10 points or more (the footer alone has 8), which still
reads in a print column and on a phone. Colours differ in lightness too, for greyscale and
colour-blind readers, and nothing is said by colour alone.
"""

from lstmcli.charts.attention import attention_chart
from lstmcli.charts.backtest import MOST_LINES, backtest_chart
from lstmcli.charts.calibration import calibration_chart
from lstmcli.charts.compare import MOST_TICKERS, compare_chart
from lstmcli.charts.forecast import forecast_chart
from lstmcli.charts.live import live_chart
from lstmcli.charts.past import past_chart
from lstmcli.charts.theme import PAPER, SCHEMES, Theme
from lstmcli.charts.training import training_chart

__all__ = [
    "MOST_LINES",
    "MOST_TICKERS",
    "PAPER",
    "SCHEMES",
    "Theme",
    "attention_chart",
    "backtest_chart",
    "calibration_chart",
    "compare_chart",
    "forecast_chart",
    "live_chart",
    "past_chart",
    "training_chart",
]
