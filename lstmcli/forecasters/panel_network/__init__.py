"""The panel network: a network that corrects a regression of volatility, across tickers."""

from lstmcli.forecasters.panel_network.fitted import FittedPanel
from lstmcli.forecasters.panel_network.recipe import PanelRecipe

__all__ = ["FittedPanel", "PanelRecipe"]
