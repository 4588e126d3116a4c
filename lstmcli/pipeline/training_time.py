"""How long a training will take, by an earlier one of the same config."""

from __future__ import annotations

from lstmcli.config import RunConfig
from lstmcli.errors import LstmError
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.training_plan import TrainPlan
from lstmcli.splits import SplitConfig


def earlier_time(session: Session, plan: TrainPlan) -> tuple[float, str] | None:
    """Return the seconds that a training should take, and the run that took as long.

    It is the newest run of the same config, whatever its tickers and its seed. Its time
    grows with the number of tickers. None where there is no such run.
    """
    for manifest in reversed(session.manifests()):
        if manifest.variant != plan.config.model.name or manifest.features != plan.config.features:
            continue
        try:
            config = session.config(manifest.run)
        except LstmError:
            continue  # of another version, or damaged: it says nothing
        if _work(config) == _work(plan.config):
            return manifest.seconds * len(plan.panel) / len(manifest.tickers), manifest.run
    return None


def _work(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"tickers": (), "split": SplitConfig(), "seed": 0})
