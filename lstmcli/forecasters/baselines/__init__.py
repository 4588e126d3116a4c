"""Baselines: the forecasters that a network is compared with."""

from lstmcli.forecasters.baselines.constant import Drift, RandomWalk
from lstmcli.forecasters.baselines.garch import Garch, Gjr
from lstmcli.forecasters.baselines.har import Har
from lstmcli.forecasters.baselines.learned import (
    GradientBoosting,
    HarRidge,
    HarRidgeClock,
    HarRidgeDates,
)
from lstmcli.forecasters.baselines.past import Ewma, Historical

BASELINES = {
    recipe.name: recipe
    for recipe in (
        *(RandomWalk, Drift, Historical, Ewma, Garch, Gjr, Har),
        *(HarRidge, HarRidgeClock, HarRidgeDates, GradientBoosting),
    )
}
"""Baselines by name; each takes the horizon."""

LADDER = ("random_walk", "ewma", "garch", "gjr", "har", "har_ridge")
"""Baselines from the weakest to the hardest to beat, an order that no score changes.
The others are shown beside them and not tested against."""

READ_DATES = (HarRidgeDates.name,)
"""Those that are shown only where dates of announcements are known."""

QUICK_BASELINES = ("random_walk", "ewma", "har")
"""Those that take little time, for the table that ends a training; `ewma` needs the
shortest history, and is the one that stands beside a forecast where no verdict names one."""
