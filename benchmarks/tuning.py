"""Tune the panel network to few tickers, and judge it beside itself as it was and from scratch.

    python benchmarks/tuning.py pool600.parquet market30.csv.gz ^VIX.csv ^GSPC.csv \\
        earnings_8k.csv.gz

Writes results/tuning.csv. The network is trained on 500 tickers of the first file up to the end of
2019, as in benchmarks/panel.py, whose workspace this command shares. It is tuned to each ticker of
the second file, to six groups of five, and to all thirty, up to the same day, and judged over the
four years after. Beside it stand the network as it was, a panel network that is trained on the same
tickers alone, and `best.yaml`; these two on the first ticker of each group of five where one ticker
is all they have. The settings of the tuning were chosen on the years before: see EXPERIMENTS.md.

Each piece is kept in the workspace: interrupted, the command goes on after the last that is
finished.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from panel import (
    STEPS,
    YEARS,
    Universe,
    command_line,
    coverage_of,
    fitted,
    losses_of,
    recipe_of,
    skills_of,
    stored,
    times_of,
    yearly,
)

from lstmcli.evaluation.comparison import numbered, overlaps_of
from lstmcli.evaluation.metrics import realise
from lstmcli.evaluation.verdict import outcomes
from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.panel_network import FittedPanel
from lstmcli.panel import Panel

OUTPUT = Path(__file__).parent.parent / "results" / "tuning.csv"

CUT = 2019
UNTIL = pd.Timestamp(CUT, 12, 31)
SIZES = (1, 5, 30)
TUNING = {"batches": 100, "learning_rate": 3e-4}
RIVALS = ("har_ridge", "pretrained")
SCRATCH = ("panel", "best")


def main() -> None:
    arguments = command_line(__doc__, OUTPUT).parse_args()
    universe = stored(arguments)
    losses = numbered(pd.concat(list(pieces(universe, sys.argv[1:])), ignore_index=True))
    table = table_of(losses)
    table.to_csv(arguments.output, index=False, lineterminator="\n")
    print(table.to_string(index=False))


def pieces(universe: Universe, arguments: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the losses of each recipe, by the number of tickers that it was fitted on."""
    panel = universe.part("market30")
    names = list(panel)
    network = cache(partial(as_shipped, universe, arguments))
    har = losses_of(universe, "har_ridge", "market30", CUT, panel, partial(yearly, "har_ridge"))
    yield har.assign(fitted_on=0)

    def losses(recipe: str, group: Sequence[str], make: Callable[[Panel], Fitted]) -> pd.DataFrame:
        return losses_of_group(universe, recipe, panel.only(group), make)

    yield losses("pretrained", names, lambda _: network()).assign(fitted_on=0)
    for size in SIZES:
        for start in range(0, len(names), size):
            group = names[start : start + size]
            found = losses("tuned", group, lambda of: tuner(network()).fit(of, UNTIL))
            yield found.assign(fitted_on=size)
    for recipe in SCRATCH:
        kept = partial(fitted, universe, arguments, f"{recipe}-market30-{CUT}")
        found = losses(recipe, names, lambda _, make=kept: make())
        took = times_of(universe)[f"{recipe}, of market30", CUT]
        yield found.assign(fitted_on=len(names), fit_seconds=took["seconds"], fit_cpu=took["cpu"])
        for size in SIZES[:-1]:
            for start in range(0, len(names), SIZES[1]):
                group = names[start : start + size]
                made: Recipe = recipe_of(f"{recipe}-market30-{CUT}")
                found = losses(recipe, group, lambda of, made=made: made.fit(of, UNTIL))
                yield found.assign(fitted_on=size)


def as_shipped(universe: Universe, arguments: Sequence[str]) -> FittedPanel:
    """Return the network of the pool in the form in which one ships with the program."""
    found = fitted(universe, arguments, f"panel-pool-{CUT}")
    if not isinstance(found, FittedPanel):
        raise TypeError(f"Expected a panel network. Received: {found.name}.")
    return found.shipped(replace(found.recipe, starts=True, label="pretrained"))


def tuner(network: FittedPanel) -> Recipe:
    """Return the recipe that tunes a network."""
    model = network.recipe.model.model_copy(update=TUNING)
    return replace(network.recipe, model=model, label="tuned").starting_from(network)


def losses_of_group(
    universe: Universe, recipe: str, panel: Panel, make: Callable[[Panel], Fitted]
) -> pd.DataFrame:
    """Return the losses on some tickers of what is fitted on them; kept, with what it took."""
    folder = universe.workspace.root / "tuning"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{recipe}-{next(iter(panel))}-{len(panel)}-{CUT}.parquet"
    times = kept.with_suffix(".json")
    if not times.exists():
        print(f"{recipe} on {len(panel)}: {next(iter(panel))}", file=sys.stderr, flush=True)
        wall, cpu = time.perf_counter(), time.process_time()
        made = make(panel)
        took = {
            "fit_seconds": time.perf_counter() - wall,
            "fit_cpu": time.process_time() - cpu,
        }
        sessions = panel.sessions()
        origins = sessions[(sessions.year > CUT) & (sessions.year <= CUT + YEARS)]
        rows = made.forecast(panel, origins)
        rows = realise(rows[rows["step"].isin(STEPS)], panel)
        outcomes(rows).assign(recipe=recipe).to_parquet(kept)
        times.write_text(json.dumps(took), "utf-8")
    return pd.read_parquet(kept).assign(**json.loads(times.read_text("utf-8")))


def table_of(losses: pd.DataFrame) -> pd.DataFrame:
    """Return one row per recipe, number of tickers and step; see results/README.md."""
    found = []
    overlaps = overlaps_of(losses)
    for step in overlaps:
        of_step = losses[losses["step"] == step]
        rivals = {name: of_step[of_step["recipe"] == name] for name in RIVALS}
        for (recipe, size), own in of_step.groupby(["recipe", "fitted_on"]):
            each = own.groupby("ticker")
            line = {
                "first": CUT + 1,
                "last": CUT + YEARS,
                "recipe": recipe,
                "fitted_on": size,
                "step": step,
                "tickers": own["ticker"].nunique(),
                "forecasts": len(own),
                "dates": own["made_on"].nunique(),
                "crps": 100 * each["crps"].mean().mean(),
                **coverage_of(own),
                **skills_of(own, rivals, step, overlaps[step]),
            }
            if size:
                line |= {name: each[name].first().mean() for name in ("fit_seconds", "fit_cpu")}
            found.append(line)
    table = pd.DataFrame(found).sort_values(["recipe", "fitted_on", "step"])
    cores, day = os.cpu_count(), date.today().isoformat()
    return table.round(4).assign(cores=cores, date=day, lstmcli=version("lstmcli"))


if __name__ == "__main__":
    main()
