"""A finished backtest, and a list of them, on the terminal, in JSON and as CSV."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from lstmcli.cli.listing import print_csv, print_listing
from lstmcli.cli.scores import scores_answer
from lstmcli.cli.screen import wrapped
from lstmcli.cli.terminal import DISCLAIMER, highest, print_json, print_table, say_next
from lstmcli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lstmcli.pipeline.backtest_result import BacktestResult
    from lstmcli.pipeline.stored_backtests import BacktestLine
    from lstmcli.store import Workspace


def print_result(result: BacktestResult, *, as_json: bool, as_csv: bool) -> None:
    """Print the scores and the verdicts of a backtest, just finished or stored."""
    if as_json:
        print_json(_answer(result))
    elif as_csv:
        result.scores.to_csv(sys.stdout, index=False, lineterminator="\n")
    else:
        _print_result(result)


def _answer(result: BacktestResult) -> dict[str, Any]:
    from lstmcli.evaluation.metrics import summary

    manifest = result.manifest
    return {
        "backtest": manifest.backtest,
        "created_at": manifest.created_at.isoformat(),
        "tickers": list(manifest.tickers),
        "folds": [list(fold) for fold in manifest.record.folds],
        "evaluations": result.evaluations,
        "fallbacks": manifest.fallbacks,
        "lacking": manifest.lacking,
        "best_epochs": manifest.best_epochs,
        "labels": manifest.labels,
        "scores": scores_answer(summary(result.scores)),
        "verdicts": manifest.verdicts,
        "note": DISCLAIMER,
    }


def _print_result(result: BacktestResult) -> None:
    from lstmcli.cli.verdict import print_stored_verdict

    manifest = result.manifest
    tickers = manifest.tickers
    names = ", ".join(tickers[:5]) + (f" and {len(tickers) - 5} more" if len(tickers) > 5 else "")
    first, last = manifest.record.folds[0][0], manifest.record.folds[-1][1]
    count = len(manifest.record.folds)
    print(
        f"{names}: {count} fold{'s' * (count > 1)}, {_origins(result):,} origins, {first} to "
        f"{last},\nfitted anew for each fold"
    )
    for label in dict.fromkeys(manifest.labels.values()):
        print(f"NOTE: {label}")
    print()
    _print_scores(result)
    for recipe, missing in manifest.lacking.items():
        some = ", ".join(list(missing)[:5]) + (" …" if len(missing) > 5 else "")
        count = sum(missing.values())
        print(f"{recipe} lacks {count:,} forecasts of {some}; all are compared on the others.")
    for key, served in manifest.fallbacks.items():
        for name in sorted(set(served.values())):
            failed = " ".join(ticker for ticker in served if served[ticker] == name)
            print(f"{key}: no convergence, {name} instead: {failed}")
    _print_untrained(result)
    last_verdict = len(manifest.verdicts)
    for number, stored in enumerate(manifest.verdicts.values(), start=1):
        print()
        print_stored_verdict(stored, legend=number == last_verdict)
    times = result.evaluations
    print(f"\nThis period was backtested {times} time{'s' * (times > 1)} in this workspace.")
    print(DISCLAIMER)


def _origins(result: BacktestResult) -> int:
    """Return how many sessions were forecast from, of the ticker with most of them."""
    judged = [stored.get("origins", 0) for stored in result.manifest.verdicts.values()]
    scores = result.scores
    return max(*judged, int(scores.loc[scores["metric"] == "crps", "n"].max()))


def _print_scores(result: BacktestResult) -> None:
    from lstmcli.evaluation.metrics import skill, summary
    from lstmcli.frames import IDENTITY
    from lstmcli.report.wording import recipe_name

    table = summary(result.scores)
    skills = {
        against: skill(result.scores, against).groupby(list(IDENTITY))["value"].mean()
        for against in ("random_walk", "garch")
    }
    confident = next((found.confident for found in result.verdicts.values()), frozenset())
    rows = []
    for key in table.sort_values("crps").index:
        row = table.loc[key, :]
        rows.append(
            [
                recipe_name(key[0], calibrated=key[1]) + (" *" if key in confident else ""),
                f"{row['crps'] * 100:.4f}",
                *(
                    "" if key == (against, False) else f"{values[key] * 100:+.2f}"
                    for against, values in skills.items()
                ),
                *(f"{row[f'coverage{level}'] * 100:.1f}" for level in (50, 80, 95)),
            ]
        )
    print_table(["", "CRPS %", "vs walk", "vs garch", "50 %", "80 %", "95 %"], rows)
    steps = sorted(result.scores.loc[result.scores["metric"] == "crps", "step"].unique())
    shown = ", ".join(map(str, steps))
    mean = f"mean of steps {shown}" if len(steps) > 1 else f"step {shown}"
    stars = " '*': it may be the best (model confidence set, 90 %)." if result.verdicts else ""
    legend = (
        f"CRPS in % of the price, {mean}; lower is better. 'vs' is the skill in %: how much lower "
        "than the random walk's or GARCH's. '80 %' is how often the outcome lay in that cone."
    )
    print(f"\n{wrapped(legend + stars)}")


def _print_untrained(result: BacktestResult) -> None:
    from lstmcli.report.wording import untrained_members

    for label in result.manifest.record.configs:
        best = [
            epoch
            for key, epochs in result.manifest.best_epochs.items()
            if key.rpartition("-")[0] == label
            for epoch in epochs
        ]
        if not best:  # versions up to 0.2 have not stored them
            continue
        if _keeps_best(result.manifest.record.configs[label]):
            print(f"{label}: {untrained_members(best)}")


def _keeps_best(config: str) -> bool:
    """Return whether the networks of a stored config keep their best epoch, not their last."""
    from lstmcli.config import parse_config

    try:
        return parse_config(config, "config.yaml").recipe().work.keeps_best
    except ConfigError:
        return True  # of a version before those that keep the last


def print_backtests(workspace: Workspace, *, as_json: bool, as_csv: bool, quiet: bool) -> int:
    """Print finished backtests, the newest first, and return the exit code."""
    from lstmcli.pipeline.stored_backtests import list_backtests

    lines, interrupted, errors = list_backtests(workspace)
    if as_json:
        answer = [entry for line in lines for entry in _entries(line)]
        print_json({"backtests": answer, "interrupted": interrupted})
        return highest(errors, as_json=True)
    entries = [entry for line in reversed(lines) for entry in _entries(line)]
    if as_csv:
        print_csv({**entry, "tickers": " ".join(entry["tickers"])} for entry in entries)
        return highest(errors)
    if not lines and not interrupted and not errors:
        print(f"no backtests in {workspace.root}")
        say_next("lstm backtest MRK --config stacked.yaml", quiet=quiet)
    if entries:
        _print_list(entries)
        say_next(f"lstm backtest --show {entries[0]['backtest']}", quiet=quiet)
    for name in interrupted:
        print(f"{name}  interrupted: the command that began it goes on")
    return highest(errors)


def _entries(line: BacktestLine) -> list[dict[str, Any]]:
    """Return what is known of each config of a backtest."""
    manifest = line.manifest
    return [
        {
            "backtest": manifest.backtest,
            "config": label,
            "tickers": list(manifest.tickers),
            "folds": len(manifest.record.folds),
            "first": manifest.record.folds[0][0],
            "last": manifest.record.folds[-1][1],
            "verdict": verdict,
            "crps": line.crps.get(label),
            "created_at": manifest.created_at.isoformat(),
        }
        for label, verdict in line.verdicts.items()
    ]


def _print_list(entries: Sequence[dict[str, Any]]) -> None:
    rows = [
        [
            entry["backtest"],
            entry["config"],
            " ".join(entry["tickers"]),
            f"{entry['first'][:7]} to {entry['last'][:7]}",
            entry["verdict"],
            "" if entry["crps"] is None else f"{entry['crps'] * 100:.3f}",
        ]
        for entry in entries
    ]
    head = ["backtest", "config", "tickers", "months", "verdict", "CRPS %"]
    print_listing(head, rows, left=5)
    legend = (
        "A line for each config. Only backtests of the same sessions can be compared: "
        "lstm backtest -c one -c other judges two configs side by side."
    )
    print(f"\n{wrapped(legend)}")
