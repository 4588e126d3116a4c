"""Make the network that ships with the program.

    python benchmarks/pretrain.py pool600.parquet market30.csv.gz ^VIX.csv ^GSPC.csv \
        earnings_8k.csv.gz

Writes lstmcli/pretrained.lstmrun: the panel network, trained on 500 tickers of the first file to
the end of 2023, and on the days of filings of half of them. Its scores are those of
results/panel.csv, and with dates known those of results/announcements.csv: the same recipe, trained
to 2015 and to 2019, judged on the 100 tickers that are never trained on; these two runs are kept in
tests/runs. Fits and losses are those of panel.py and announcements.py, which go first, kept in
their workspace. The same fits and files give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import announcements
import numpy as np
import pandas as pd
import panel as benchmark

from lstmcli.config import RunConfig, config_sha, load_config
from lstmcli.evaluation.verdict import judge
from lstmcli.executors.versions import versions
from lstmcli.forecasters.baselines import LADDER
from lstmcli.forecasters.panel_network import FittedPanel
from lstmcli.forecasters.panel_network.files import ARRAYS
from lstmcli.frames import EARNINGS
from lstmcli.pipeline.market import series_key
from lstmcli.report.verdict_record import verdict_json
from lstmcli.store.records import to_csv
from lstmcli.store.run_file import RunFile, to_bytes
from lstmcli.store.runs import FORMAT, Manifest
from lstmcli.store.shipped import PATH, PRETRAINED

CUT = 2023
JUDGED = "judges"
KEPT = Path(__file__).parent.parent / "tests" / "runs"
"""Where the runs that were judged are kept, for tests."""

MADE = datetime(2026, 11, 26, 21, tzinfo=UTC)
"""When this network was made; its name begins so."""

SCORES = (
    *("judged", "first", "last", "recipe", "step", "forecasts", "dates", "crps"),
    *("coverage50", "worst50", "coverage80", "worst80", "coverage95", "worst95"),
)
"""What of results/panel.csv is shipped, with the skill against each rival."""

DATED_SCORES = (
    *("judged", "days", "known", "first", "last", "step", "tickers", "forecasts", "dates"),
    *("crps", "coverage80"),
)
DATED_RIVALS = ("har_ridge_01", "har_ridge_clock", "har_ridge_dates")
"""What of results/announcements.csv is shipped."""


def main() -> None:
    arguments = benchmark.command_line(__doc__, PATH).parse_args()
    universe = benchmark.stored(arguments)
    losses = judged_losses(universe, sys.argv[1:])
    write(arguments.output, run_file(universe, sys.argv[1:], CUT, losses))
    for cut in benchmark.CUTS:
        path = KEPT / f"{PRETRAINED}-{cut}{PATH.suffix}"
        write(path, run_file(universe, sys.argv[1:], cut))


def write(path: Path, found: RunFile) -> None:
    content = to_bytes(found)
    path.write_bytes(content)
    print(f"{path}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def run_file(
    universe: benchmark.Universe,
    arguments: Sequence[str],
    cut: int,
    losses: pd.DataFrame | None = None,
) -> RunFile:
    """Return the network that was trained up to the end of a year.

    Args:
        losses: of its recipe and of each rung, for the verdict and the scores of what ships.
    """
    network = benchmark.as_shipped(benchmark.fitted(universe, arguments, f"panel-pool-{cut}"))
    config = load_config(PRETRAINED)
    with np.load(io.BytesIO(network.files()[ARRAYS]), allow_pickle=False) as arrays:
        panel = {name: arrays[name] for name in arrays.files}
    return RunFile(
        manifest=manifest_of(universe, network, config, losses),
        provenance={} if losses is None else provenance_of(universe, network),
        texts={
            "config.yaml": config.to_yaml(),
            "state.json": network.stored_state().decode(),
            "history.csv": to_csv(network.history.assign(seconds=0.0)).decode(),
        },
        arrays={"panel": panel},
    )


def judged_losses(universe: benchmark.Universe, arguments: Sequence[str]) -> pd.DataFrame:
    """Return the losses of the network and of each rung on tickers that it never saw."""
    parts = []
    for cut in benchmark.CUTS:
        panel = universe.part(JUDGED)
        network = partial(benchmark.fitted, universe, arguments, f"panel-pool-{cut}")
        forecasters = {PRETRAINED: partial(benchmark.pretrained, network, market=True)}
        forecasters |= {name: partial(benchmark.yearly, name) for name in LADDER}
        for name, forecast in forecasters.items():
            parts.append(benchmark.losses_of(universe, name, JUDGED, cut, panel, forecast))
    return pd.concat(parts, ignore_index=True)


def manifest_of(
    universe: benchmark.Universe,
    network: FittedPanel,
    config: RunConfig,
    losses: pd.DataFrame | None,
) -> Manifest:
    sha, test, verdict, crps = config_sha(config), ("", "", 0), None, None
    if losses is not None:
        own = losses[losses["recipe"] == PRETRAINED]
        judged = judge(losses, [PRETRAINED], LADDER, calibrated=True, fits=len(benchmark.CUTS))
        unseen = {
            "tickers": own["ticker"].nunique(),
            "trained_on": len(network.tickers),
            "fit_ends": [f"{cut}-12-31" for cut in benchmark.CUTS],
            "fit_end": f"{network.fit_end:%Y-%m-%d}",
        }
        verdict = {**verdict_json(judged[PRETRAINED]), "unseen": unseen}
        test = (f"{own['made_on'].min():%Y-%m-%d}", f"{own['made_on'].max():%Y-%m-%d}", 1)
        crps = float(own.groupby("step")["crps"].mean().mean())
    return Manifest(
        format=FORMAT,
        run=f"{MADE:%Y%m%dT%H%M%SZ}-{PRETRAINED}-{sha[:8]}",
        created_at=MADE,
        variant=config.model.name,
        tickers=network.tickers,
        features=config.features,
        config_sha=sha,
        bars=hashes_of(universe, network.tickers),
        labels={},
        test=test,
        parameters=network.parameters,
        seconds=0.0,
        threads={},
        versions=versions(),
        verdict=verdict,
        crps=crps,
        any_ticker=True,
    )


def hashes_of(universe: benchmark.Universe, tickers: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of the bars of each ticker, of market series and of announcements."""
    bars, market = universe.workspace.bars, universe.workspace.market
    found = {ticker: bars.read(ticker)[1].sha256 for ticker in tickers}
    found |= {series_key(name): market.read(name)[1].sha256 for name in market.tickers()}
    events = universe.with_announcements(universe.part("pool"), benchmark.WHOLE).events
    rows = pd.util.hash_pandas_object(events, index=False).to_numpy().tobytes()
    return found | {EARNINGS: hashlib.sha256(rows).hexdigest()}


def provenance_of(universe: benchmark.Universe, network: FittedPanel) -> dict[str, Any]:
    """Return what the network learnt from, how, and its scores in results/panel.csv."""
    table = pd.read_csv(benchmark.OUTPUT)
    years = len(benchmark.CUTS) * benchmark.YEARS
    whole = table[table["last"] - table["first"] + 1 == years]
    own = whole[whole["recipe"].str.startswith(PRETRAINED)]
    skills = [f"{what}_{rival}" for rival in benchmark.RIVALS for what in ("skill", "t")]
    panel = universe.part("pool")
    dated = pd.read_csv(announcements.OUTPUT)
    dated = dated[(dated["last"] - dated["first"] + 1 == years) & (dated["recipe"] == PRETRAINED)]
    dated_skills = [f"{what}_{rival}" for rival in DATED_RIVALS for what in ("skill", "t")]
    filed = set(universe.filings["Ticker"]) & set(network.tickers)
    return {
        "command": "python benchmarks/pretrain.py",
        "universe": f"{len(network.tickers)} US shares",
        "announcements": f"days of filings with results of {len(filed)} of them",
        "first_session": f"{panel.sessions()[0]:%Y-%m-%d}",
        "last_session": f"{network.fit_end:%Y-%m-%d}",
        "trained_as": load_config("panel").to_yaml(),
        "scores": own[[*SCORES, *skills]].to_dict("records"),
        "scores_with_dates": _records(dated[[*DATED_SCORES, *dated_skills]]),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows for JSON; a cell without a number is left out."""
    return [
        {name: value for name, value in row.items() if value == value}
        for row in table.to_dict("records")
    ]


if __name__ == "__main__":
    main()
