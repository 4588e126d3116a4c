"""Train the panel network on some tickers and judge it on others, against the honest rivals.

    python benchmarks/panel.py pool600.parquet market30.csv.gz ^VIX.csv ^GSPC.csv earnings_8k.csv.gz

Writes results/panel.csv. The network is trained on 500 tickers of the first file up to the end of
2015 and of 2019, and judged over the four years after on the tickers of the second file and on the
100 of the first that it never sees: those whose names have the smallest SHA-256. It learns from
the days of filings in the last file, too, and is judged here without any; announcements.py judges
it with them. It forecasts the tickers as a panel, and alone, one at a time, with the market series
and without; and as the network that ships with the program does. The rivals are fitted anew each
year on the panel that is judged. Configs trained on the second file alone stand beside.

Each piece is kept in the workspace: interrupted, the command goes on after the last that is
finished.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from har_ridge_01 import HarRidge01

from lstmcli.config import load_config
from lstmcli.evaluation.comparison import Comparison, numbered, overlaps_of
from lstmcli.evaluation.metrics import qlike, realise
from lstmcli.evaluation.verdict import outcomes
from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.panel_network import FittedPanel, PanelRecipe
from lstmcli.forecasters.run_recipe import RunRecipe
from lstmcli.frames import ASSUMED, COVERAGES, EARNINGS, EVENT_COLUMNS
from lstmcli.panel import MarketSeries, Panel
from lstmcli.store import Workspace
from lstmcli.store.checkpoints import Checkpoints

FILES = ("pool", "market30", "vix", "index", "filings")
"""What the command line names."""

OUTPUT = Path(__file__).parent.parent / "results" / "panel.csv"

CALENDAR = "XNYS"
JUDGES = 100
WHOLE = 60
"""Sessions ahead of a filing from which on the days of all are known: about a quarter."""

CUTS = (2015, 2019)
YEARS = 4
STEPS = (1, 5, 10, 20)
HORIZON = 20

FAULTS = {
    "BKNG": ("--allow-jumps", "2000-11-03"),  # a fall that looks like a split
    "EXPE": ("--start", "2011-12-21"),  # a spin-off that the adjusted close lacks
    "JCI": ("--start", "2007-07-02"),  # likewise
}
"""What the pool's known faults need."""

RIVALS = ("har_ridge_01", "har_ridge", "har_ridge_clock", "gjr")

TRAINED = ("panel", "lstm", "stacked", "multivariate", "best")
"""Configs that are trained on the tickers of the second file alone."""

QUICK = {
    name: ("training.members=1", "training.epochs=6", "training.batch_size=256")
    for name in ("lstm", "stacked", "multivariate")
}
"""What results/market30.csv takes, too; the others are as shipped."""

CHOSE = {
    "market30": "in part",  # the study that settled the recipe looked at these tickers
    "judges": "no",
}


@dataclass(frozen=True)
class Universe:
    """The bars of both files, and who plays which part."""

    pool: tuple[str, ...]
    judged: Mapping[str, tuple[str, ...]]
    workspace: Workspace
    market: Mapping[str, MarketSeries]
    filings: pd.DataFrame

    def part(self, name: str) -> Panel:
        """Return the panel of `pool`, `market30` or `judges`."""
        return self.panel(self.pool if name == "pool" else self.judged[name])

    def panel(self, tickers: tuple[str, ...]) -> Panel:
        bars = {ticker: self.workspace.bars.read(ticker)[0] for ticker in tickers}
        return Panel(bars, dict.fromkeys(bars, CALENDAR), self.market)

    def with_announcements(self, panel: Panel, ahead: int) -> Panel:
        """Return a panel that knows of filings with results some sessions ahead."""
        parts = []
        for ticker, bars in panel.items():
            sessions = pd.DatetimeIndex(bars.index)
            filed = self.filings.loc[self.filings["Ticker"] == ticker, "Filed"]
            at = np.unique(sessions.searchsorted(pd.DatetimeIndex(filed)))
            at = at[(at < len(sessions)) & (at >= ahead)]
            parts.append(
                pd.DataFrame({"session": sessions[at], "known_on": sessions[at - ahead]}).assign(
                    ticker=ticker,
                    kind=EARNINGS,
                    timing="unknown",
                    status="reported",
                    amount=np.nan,
                    source=f"sec{ASSUMED}",
                )
            )
        events = pd.concat(parts, ignore_index=True)[list(EVENT_COLUMNS)]
        return panel.with_(events=events.astype({"known_on": "datetime64[ns]"}))


def main() -> None:
    parser = command_line(__doc__, OUTPUT)
    parser.add_argument("--fit", help="make only this fit, such as panel-pool-2015")
    arguments = parser.parse_args()
    universe = stored(arguments)
    if arguments.fit:
        fit(universe, arguments.fit)
        return
    losses = numbered(pd.concat(list(pieces(universe, sys.argv[1:])), ignore_index=True))
    table = table_of(losses, times_of(universe))
    table.to_csv(arguments.output, index=False, lineterminator="\n")
    print(table.to_string(index=False))


def command_line(about: str, output: Path) -> argparse.ArgumentParser:
    """Return the parser of a benchmark that reads `FILES` and keeps what it makes.

    Args:
        about: the docstring of the script.
        output: where it writes.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    for name in FILES:
        parser.add_argument(name)
    parser.add_argument("--workspace", type=Path, default=Path("data/panel"))
    parser.add_argument("--output", type=Path, default=output)
    return parser


def stored(arguments: argparse.Namespace) -> Universe:
    """Return the bars of the files, reading them into the workspace where they are not there."""
    root = arguments.workspace
    workspace = Workspace(root)
    if not (root / "names.json").exists():
        common = ("--source", "csv", "--calendar", CALENDAR, "--quiet")
        fetch(workspace, "--file", arguments.pool, *common)
        pool = set(workspace.bars.tickers())
        for ticker, words in FAULTS.items():
            fetch(workspace, ticker, "--file", arguments.pool, *common, *words)
        pool |= set(FAULTS)
        fetch(workspace, "--file", arguments.market30, *common)
        for ticker, file in (("^VIX", arguments.vix), ("^GSPC", arguments.index)):
            fetch(workspace, ticker, "--market", "--file", file, *common)
        names = sorted(pool, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        others = sorted(set(workspace.bars.tickers()) - pool)
        if len(pool) <= JUDGES + len(FAULTS) or not others or len(workspace.market.tickers()) < 2:
            sys.exit("Expected bars in all four files. Some could not be read: see lstm fetch.")
        parts = {
            "judges": sorted(names[:JUDGES]),
            "pool": sorted(names[JUDGES:]),
            "market30": others,
        }
        (root / "names.json").write_text(json.dumps(parts), "utf-8")
    names = {k: tuple(v) for k, v in json.loads((root / "names.json").read_text("utf-8")).items()}
    market = {
        name: MarketSeries(ticker, workspace.market.read(ticker)[0], CALENDAR)
        for name, ticker in (("vix", "^VIX"), ("index", "^GSPC"))
    }
    judged = {name: names[name] for name in ("market30", "judges")}
    filings = pd.read_csv(arguments.filings, parse_dates=["Filed"])
    return Universe(names["pool"], judged, workspace, market, filings)


def fetch(workspace: Workspace, *words: str) -> None:
    # Tickers with faults end it with an exit code; they are fetched by themselves.
    command = [sys.executable, "-m", "lstmcli", "fetch", *words, "--workspace", str(workspace.root)]
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)


def pieces(universe: Universe, arguments: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the losses of each recipe on each panel that is judged, after each cut."""
    for cut in CUTS:
        for name in universe.judged:
            panel = universe.part(name)

            def losses(recipe: str, forecast: Forecaster, name=name, cut=cut, panel=panel):
                return losses_of(universe, recipe, name, cut, panel, forecast)

            network = partial(fitted, universe, arguments, f"panel-pool-{cut}")
            yield losses("panel", lambda of, origins, make=network: make().forecast(of, origins))
            yield losses("panel, alone", partial(alone, network, market=True))
            yield losses("panel, alone, no market", partial(alone, network, market=False))
            yield losses("pretrained", partial(pretrained, network, market=True))
            yield losses("pretrained, no market", partial(pretrained, network, market=False))
            for rival in RIVALS:
                yield losses(rival, partial(yearly, rival))
            for config in TRAINED:
                small = partial(fitted, universe, arguments, f"{config}-market30-{cut}")
                yield losses(
                    f"{config}, of market30",
                    lambda of, origins, make=small: make().forecast(of, origins),
                )


Forecaster = Callable[[Panel, pd.DatetimeIndex], pd.DataFrame]


def alone(
    network: Callable[[], Fitted], panel: Panel, origins: pd.DatetimeIndex, *, market: bool
) -> pd.DataFrame:
    """Return forecasts that are made one ticker at a time."""
    made = network()
    of = panel if market else panel.with_(market={})
    parts = []
    for ticker in of:
        rows = made.forecast(of.only([ticker]), origins)
        parts.append(rows[rows["step"].isin(STEPS)])
    return pd.concat(parts, ignore_index=True)


def pretrained(
    network: Callable[[], Fitted], panel: Panel, origins: pd.DatetimeIndex, *, market: bool
) -> pd.DataFrame:
    """Return what `lstm predict` would publish of each ticker if this fit had shipped."""
    of = panel if market else panel.with_(market={})
    return FittedCalibrated(as_shipped(network()), alone=True).forecast(of, origins)


def as_shipped(network: Fitted) -> FittedPanel:
    """Return a fit in the form in which one ships with the program."""
    recipe = load_config("pretrained").recipe()
    if not (isinstance(network, FittedPanel) and isinstance(recipe, PanelRecipe)):
        raise TypeError(f"Expected a panel network. Received: {network.name}.")
    return network.shipped(recipe)


class Progress:
    """Tells what a long fit does, and keeps what resumes it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._kept = Checkpoints(folder)
        self.load, self.save = self._kept.load, self._kept.save

    def on_epoch(self, epoch: object) -> None:
        print(epoch, file=sys.stderr)


def recipe_of(piece: str) -> RunRecipe:
    config = piece.split("-")[0]
    overrides = [*QUICK.get(config, ()), "training.refit=false"]
    return load_config(config, overrides=overrides).recipe()


def fit(universe: Universe, piece: str) -> None:
    """Fit a config on a part up to the end of a year, and keep it; go on with what was begun."""
    _, part, cut = piece.split("-")
    folder = universe.workspace.root / "fits" / piece
    panel = universe.part(part)
    if part == "pool":
        panel = universe.with_announcements(panel, WHOLE)
    started = time.perf_counter()
    watch = Progress(folder / "resume")
    found = recipe_of(piece).fit(panel, pd.Timestamp(int(cut), 12, 31), watch=watch)
    times = {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "tickers": len(panel),
    }
    for name, content in found.files().items():
        (folder / name).write_bytes(content)
    found.history.to_csv(folder / "history.csv", index=False)
    (folder / "times.json").write_text(json.dumps(times), "utf-8")
    (folder / "state.json").write_bytes(found.stored_state())


def fitted(universe: Universe, arguments: Sequence[str], piece: str) -> Fitted:
    """Return a fit, made in a process of its own where it is not kept."""
    folder = universe.workspace.root / "fits" / piece
    if not (folder / "state.json").exists():
        subprocess.run([sys.executable, __file__, *arguments, "--fit", piece], check=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    history = pd.read_csv(folder / "history.csv")
    return recipe_of(piece).restore(files["state.json"], files, history=history)


def times_of(universe: Universe) -> dict[tuple[str, int], dict[str, float]]:
    """Return what each fit took, by recipe and cut."""
    found = {}
    for folder in sorted((universe.workspace.root / "fits").iterdir()):
        config, part, cut = folder.name.split("-")
        name = config if part == "pool" else f"{config}, of {part}"
        found[name, int(cut)] = json.loads((folder / "times.json").read_text("utf-8"))
    return found


def yearly(name: str, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Return forecasts of a rival that is fitted anew each year, on the ten before it."""
    make: Callable[[int], Recipe] = HarRidge01 if name == HarRidge01.name else BASELINES[name]
    parts = []
    for year in sorted(set(origins.year)):
        past = panel.since(pd.Timestamp(year - 10, 1, 1)).with_(market={})
        made = make(HORIZON).fit(past, pd.Timestamp(year - 1, 12, 31))
        rows = made.forecast(past, origins[origins.year == year])
        parts.append(rows[rows["step"].isin(STEPS)])
    return pd.concat(parts, ignore_index=True)


def losses_of(
    universe: Universe, recipe: str, judged: str, cut: int, panel: Panel, forecast: Forecaster
) -> pd.DataFrame:
    """Return the losses of one recipe on one panel over the years after a cut; kept."""
    kept = universe.workspace.root / "losses" / f"{recipe}-{judged}-{cut}.parquet"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        print(f"{recipe} on {judged}, {cut + 1} to {cut + YEARS}", file=sys.stderr, flush=True)
        sessions = panel.sessions()
        rows = forecast(panel, sessions[(sessions.year > cut) & (sessions.year <= cut + YEARS)])
        rows = realise(rows[rows["step"].isin(STEPS)], panel)
        found = outcomes(rows).assign(qlike=qlike(rows), recipe=recipe, judged=judged, cut=cut)
        found.to_parquet(kept)
    return pd.read_parquet(kept)


def table_of(
    losses: pd.DataFrame, times: Mapping[tuple[str, int], Mapping[str, float]]
) -> pd.DataFrame:
    """Return one row per recipe, panel, span and step; see results/README.md."""
    found = []
    first, last = losses["made_on"].dt.year.min(), losses["made_on"].dt.year.max()
    spans = [(first, last), *((cut + 1, cut + YEARS) for cut in CUTS)]
    spans += [(year, year) for year in range(first, last + 1)]
    for judged, of_panel in losses.groupby("judged"):
        for start, end in spans:
            of_span = of_panel[of_panel["made_on"].dt.year.between(start, end)]
            overlaps = overlaps_of(of_span)
            for step in overlaps:
                of_step = of_span[of_span["step"] == step]
                rivals = {name: of_step[of_step["recipe"] == name] for name in RIVALS}
                for recipe, own in of_step.groupby("recipe"):
                    line = {
                        "judged": judged,
                        "chose": CHOSE[str(judged)],
                        "first": start,
                        "last": end,
                        "recipe": recipe,
                        "step": step,
                        "forecasts": len(own),
                        "dates": own["made_on"].nunique(),
                        "crps": 100 * own.groupby("ticker")["crps"].mean().mean(),
                        "qlike": own.groupby("ticker")["qlike"].mean().mean(),
                        **coverage_of(own),
                        **skills_of(own, rivals, step, overlaps[step]),
                    }
                    spent = [
                        t for (name, cut), t in times.items() if name == recipe and start == cut + 1
                    ]
                    if spent and end - start + 1 == YEARS:
                        line |= {f"fit_{key}": value for key, value in spent[0].items()}
                    found.append(line)
    cores, day = os.cpu_count(), date.today().isoformat()
    return pd.DataFrame(found).round(4).assign(cores=cores, date=day, lstmcli=version("lstmcli"))


def skills_of(
    own: pd.DataFrame, rivals: Mapping[str, pd.DataFrame], step: int, overlap: int
) -> dict[str, float]:
    """Return the skill of a recipe against each rival at a step, in %, and its t."""
    line = {}
    for rival, base in rivals.items():
        if own["recipe"].iloc[0] != rival:
            numbers, test = Comparison(own, base).numbers({step: overlap}, alpha=0.025)
            line[f"skill_{rival}"] = 100 * numbers["crps_skill"]
            line[f"scaled_{rival}"] = 100 * numbers["skill"]
            line[f"t_{rival}"] = np.nan if test is None else test.statistic
    return line


def coverage_of(own: pd.DataFrame) -> dict[str, float]:
    """Return how many outcomes lay inside each cone, and how far the worst ticker is off."""
    line = {}
    for share in COVERAGES:
        name = f"in{share * 100:.0f}"
        means = own.groupby("ticker")[name].mean()
        line[f"coverage{share * 100:.0f}"] = means.mean()
        line[f"worst{share * 100:.0f}"] = 100 * (means - share).abs().max()
    return line


if __name__ == "__main__":
    main()
