"""How often `lstm audit` accuses what is honest, and how often it finds what leaks.

    python benchmarks/audits.py --honest market30.csv.gz
    python benchmarks/audits.py --planted

The first audits twenty honest configurations as a user would, and writes every check to
results/audits.csv; `--only smoke` audits those of one config. The second plants leaks into
small networks on simulated bars, with fifty seeds each, and writes how often each is found
to results/leaks.csv. Both go on where they were interrupted. Together they take some hours
on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from lstmcli.evaluation import leaks, simulated_checks
from lstmcli.evaluation.metrics import realise
from lstmcli.forecasters.baselines import Ewma, RandomWalk
from lstmcli.forecasters.network import NetworkRecipe
from lstmcli.forecasters.training import TrainingConfig
from lstmcli.models import VARIANTS
from lstmcli.panel import Panel
from lstmcli.splits import SplitConfig
from lstmcli.store import Workspace
from lstmcli.windows import WindowConfig

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # where the leaks are

import faults  # noqa: E402
from simulate import panel_of, simulate_bars  # noqa: E402

AUDITS, LEAKS = ROOT / "results" / "audits.csv", ROOT / "results" / "leaks.csv"

HONEST = {
    1: ("smoke", "dense", "lstm", "rnn", "attention", "stacked", "best"),
    8: (
        "lstm",
        "multivariate",
        "cnn_lstm",
        "conv_lstm",
        "bidirectional",
        "encoder_decoder",
        "best",
    ),
    30: ("smoke", "dense", "lstm", "multivariate", "stacked", "best"),
}
"""By the number of tickers: twenty configurations, every shipped config among them."""

FIRST_SEED = 20260101
"""Of the first configuration; each next one has the next seed."""

SINCE = "2012-01-01"
"""First session of the bars: twelve years are enough, and halve the time."""

SEEDS, H = 50, 3


def configurations() -> Iterator[tuple[str, int, int]]:
    """Yield config, number of tickers and seed."""
    listed = [(name, count) for count, names in HONEST.items() for name in names]
    for number, (name, count) in enumerate(listed):
        yield name, count, FIRST_SEED + number


def audit_honest(file: str, workspace: Workspace, only: str | None, workers: int | None) -> None:
    """Audit the configurations that have no rows yet, and append theirs."""
    if not workspace.bars.tickers():
        lstm("fetch", "--source", "csv", "--file", file, "--start", SINCE, to=workspace)
    tickers = sorted(workspace.bars.tickers())
    done = set()
    if AUDITS.exists():
        known = pd.read_csv(AUDITS)
        done = set(known[["config", "tickers", "seed"]].itertuples(index=False, name=None))
    for name, count, seed in configurations():
        if (name, count, seed) in done or only not in (None, name):
            continue
        # Of a lone ticker and of eight, others with each seed.
        chosen = [tickers[(seed + k) % len(tickers)] for k in range(count)]
        words = ["audit", *chosen, "--config", name, "--set", f"seed={seed}", "--json", "-q"]
        words += ["--workers", str(workers)] if workers else []
        started = time.monotonic()
        answer = json.loads(lstm(*words, to=workspace))
        seconds = round(time.monotonic() - started)
        rows = pd.DataFrame(answer["checks"])[["check", "passed", "figure"]]
        rows = rows.assign(config=name, tickers=count, seed=seed, seconds=seconds)
        rows = rows[["config", "tickers", "seed", "check", "passed", "figure", "seconds"]]
        rows.to_csv(AUDITS, mode="a", header=not AUDITS.exists(), index=False, lineterminator="\n")
        print(rows[["config", "tickers", "check", "passed", "figure"]].to_string(index=False))
    table = pd.read_csv(AUDITS)
    judged = table[table["passed"].notna()]
    false = judged[~judged["passed"].astype(bool)]
    print(f"{len(false)} false alarms in {len(judged)} checks")
    print(false.to_string(index=False))


def lstm(*words: str, to: Workspace) -> str:
    """Run one command of the tool as its user would; an audit may end with 6."""
    print("lstm", *words, file=sys.stderr)
    command = [sys.executable, "-m", "lstmcli", *words, "--workspace", str(to.root)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 6):
        raise SystemExit(done.returncode)
    return done.stdout


def network(seed: int, **changes: object) -> dict[str, object]:
    """Return the fields of a small network that learns fast."""
    training = TrainingConfig(epochs=8, members=1, learning_rate=0.01, threads=1)
    recipe = NetworkRecipe(
        model=VARIANTS["dense"](units=(4,)),
        window=WindowConfig(lookback=5, horizon=H),
        split=SplitConfig(validation=0.1, calibration=0.1, test=0.1),
        training=training,
        seed=seed,
    )
    return vars(recipe) | changes


def small_panel(seed: int) -> Panel:
    """Return two tickers of 600 sessions with dividends, a market series and events."""
    bars = {name: simulate_bars(600, seed=3 * seed + k) for k, name in enumerate("AB")}
    return faults.with_everything(panel_of(**bars), simulate_bars(600, seed=3 * seed + 2))


def planted() -> Iterator[tuple[str, str, Callable[[int], bool]]]:
    """Yield the leak, the check that should find it, and whether it does with a seed."""

    def features(columns: Callable) -> Callable[[int], bool]:
        return lambda seed: not leaks.check_features(columns, small_panel(seed), seed=seed).passed

    def targets(seed: int) -> bool:
        panel = small_panel(seed)
        windows = NetworkRecipe(**network(seed)).windows(panel)
        return not leaks.check_targets(faults.short_targets(windows), panel).passed

    def fit(recipe: type[NetworkRecipe]) -> Callable[[int], bool]:
        def found(seed: int) -> bool:
            panel = small_panel(seed)
            until = panel.sessions()[450]
            return not leaks.check_fit(recipe(**network(seed)), panel, until, seed=seed).passed

        return found

    def forecast(make: Callable) -> Callable[[int], bool]:
        def found(seed: int) -> bool:
            panel = small_panel(seed)
            sessions = panel.sessions()
            fitted = make(seed, panel, sessions[450])
            some = list(sessions[[460, 500, 560]])
            return not leaks.check_forecast(fitted, panel, some, seed=seed).passed

        return found

    def peeking(seed: int, panel: Panel, until: pd.Timestamp) -> object:
        return faults.PeekingVolatility(**network(seed)).fit(panel, until)

    def knows(seed: int, panel: Panel, until: pd.Timestamp) -> object:
        return faults.KnowsTheDividend(Ewma(H).fit(panel, until), until, until)

    def permuted(seed: int) -> bool:
        recipe = faults.ReadsTomorrow(**network(seed))
        return not simulated_checks.check_permuted(recipe, small_panel(seed), seed=seed).passed

    def plausible(seed: int) -> bool:
        panel = small_panel(seed)
        fitted = faults.ReadsTomorrow(**network(seed)).fit(panel, panel.sessions()[450])
        rows = fitted.forecast(panel, panel.sessions()[451:])
        return not leaks.check_plausible(realise(rows, panel)).passed

    def walk(seed: int) -> bool:
        recipe = faults.ReadsTomorrow(**network(seed))
        return simulated_checks.random_walk_is_beaten(recipe, H, seed=seed)

    def blind(seed: int) -> bool:
        idle = TrainingConfig(epochs=1, members=1, learning_rate=1e-12, threads=1)
        recipe = NetworkRecipe(**network(seed, training=idle))
        return not simulated_checks.check_planted(recipe, H, seed=seed).passed

    def constant(seed: int) -> bool:
        return not simulated_checks.check_oracle(RandomWalk(1), 1, seed=seed).passed

    for leak, columns in faults.LEAKY_FEATURES.items():
        yield leak, "features look back only", features(columns)
    yield "a target one day short", "targets are the returns that follow", targets
    yield (
        "a scaler fitted on everything",
        "the fit stops where it should",
        fit(faults.EverythingScaled),
    )
    yield (
        "early stopping on the test block",
        "the fit stops where it should",
        fit(faults.StoppedOnTheTest),
    )
    yield "a volatility that peeks", "forecasts look back only", forecast(peeking)
    yield "quantiles that know tomorrow's dividend", "forecasts look back only", forecast(knows)
    learnt = "a centred moving average that a network reads"
    yield learnt, "no skill where there is none", permuted
    yield learnt, "not too good to be true", plausible
    yield learnt, "one random walk is not beaten", walk
    yield "a network that learns nothing", "a planted signal is found", blind
    yield "a constant volatility", "simulated GARCH is forecast like its maker would", constant


def find_planted(seeds: int) -> None:
    """Write with how many seeds each planted leak is found; goes on where it stopped."""
    known = pd.read_csv(LEAKS).to_dict("records") if LEAKS.exists() else []
    rows = []
    for leak, check, finds in planted():
        row = {"leak": leak, "check": check, "seeds": seeds}
        done = [old for old in known if {**old, **row} == old]
        found = done[0]["found"] if done else sum(map(finds, range(1, seeds + 1)))
        rows.append(row | {"found": found})
        print(rows[-1], flush=True)
        pd.DataFrame([*rows, *known[len(rows) :]]).to_csv(LEAKS, index=False, lineterminator="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--honest", metavar="FILE", help="a CSV with a Ticker column")
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--only", metavar="CONFIG", help="of the honest ones")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the planted ones")
    parser.add_argument("--workers", type=int, help="processes of an audit")
    parser.add_argument("--workspace", type=Path, default=Path("data/audits"))
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.honest:
        audit_honest(
            arguments.honest, Workspace(arguments.workspace), arguments.only, arguments.workers
        )
    if arguments.planted:
        find_planted(arguments.seeds)


if __name__ == "__main__":
    main()
