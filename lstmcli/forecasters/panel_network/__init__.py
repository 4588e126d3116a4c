"""The panel network: a network that corrects a regression of volatility, across tickers."""

from lstmcli.forecasters.panel_network.fitted import FittedPanel
from lstmcli.forecasters.panel_network.recipe import NETWORK_READS, PanelRecipe

__all__ = ["NETWORK_READS", "FittedPanel", "PanelRecipe"]
