"""Sessions that the start of a training has not seen: they alone may judge it."""

from __future__ import annotations

import pandas as pd

from lstmcli.errors import ConfigError
from lstmcli.forecasters.base import Fitted


def check_unseen(start: Fitted, until: pd.Timestamp) -> None:
    """Check that a fit up to a session ends no earlier than that of its start.

    Raises:
        ConfigError: the start has seen sessions after it.
    """
    if until < start.fit_end:
        raise ConfigError(
            f"Expected sessions after {start.fit_end:%Y-%m-%d} to judge: {start.name} has seen "
            f"the others. Received: a fit up to {until:%Y-%m-%d}.",
            hint=f"--set backtest.start={start.fit_end + pd.Timedelta(1, 'D'):%Y-%m-%d}",
        )
