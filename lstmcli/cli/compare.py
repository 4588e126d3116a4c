"""Runs beside each other on the terminal and in JSON."""

from __future__ import annotations

import json
import shutil
import string
import textwrap
from typing import TYPE_CHECKING, Any

from lstmcli.cli.listing import cut
from lstmcli.cli.terminal import print_table

if TYPE_CHECKING:
    from lstmcli.pipeline.runs import RunComparison

MIN_VALUE = 12
"""Columns that a value of a setting has at least."""

_SCORES = {
    "crps": "CRPS %",
    "skill": "skill against the random walk %",
    "tails": "tails %",
    "coverage50": "50 % cone",
    "coverage80": "80 % cone",
    "coverage95": "95 % cone",
}


def comparison_answer(found: RunComparison) -> dict[str, Any]:
    """Return a comparison for JSON."""
    names = [of.manifest.run for of in found.runs]
    return {
        "runs": [
            {
                "run": of.manifest.run,
                "config": of.manifest.config_name,
                "tickers": list(of.manifest.tickers),
                "trained_to": of.line.trained_to,
                "test": list(of.manifest.test[:2]),
                "verdict_in_words": of.line.verdict,
            }
            for of in found.runs
        ],
        "settings": {
            name: dict(zip(names, values, strict=True)) for name, values in found.settings.items()
        },
        "same_sessions": found.differ is None,
        "differ": found.differ,
        "tickers": [] if found.differ else list(found.tickers),
        "steps": [] if found.differ else [int(step) for step in found.steps],
        "scores": {
            str(run): {name: None if value != value else value for name, value in row.items()}
            for run, row in found.scores.to_dict("index").items()
        },
    }


def print_comparison(found: RunComparison) -> None:
    """Print the settings that differ, and the scores or why there are none."""
    letters = string.ascii_uppercase
    labels = [letters[n] if n < len(letters) else f"{n + 1}" for n in range(len(found.runs))]
    print_table(
        ["", "run", "config", "trained to", "test sessions", "verdict"],
        [
            [
                label,
                of.manifest.run.partition("-")[0],
                of.manifest.config_name,
                of.line.trained_to,
                " to ".join(of.manifest.test[:2]),
                of.line.verdict,
            ]
            for label, of in zip(labels, found.runs, strict=True)
        ],
        left=6,
    )
    print()
    if found.settings:
        _print_settings(found, labels)
    else:
        print("Their settings are the same.")
    print()
    if found.differ is not None:
        print(textwrap.fill(f"{found.differ} Their scores cannot be compared.", 79))
        return
    _print_scores(found, labels)


def _print_settings(found: RunComparison, labels: list[str]) -> None:
    first = max(len(name) for name in (*found.settings, "setting"))
    room = shutil.get_terminal_size().columns - first - 2 * len(labels)
    width = max(room // len(labels), MIN_VALUE)
    rows = [
        [name, *(cut(_shown(value), width) for value in values)]
        for name, values in found.settings.items()
    ]
    print_table(["setting", *labels], rows, left=1 + len(labels))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _print_scores(found: RunComparison, labels: list[str]) -> None:
    rows = []
    for name, shown in _SCORES.items():
        if name in found.scores:
            digits = 3 if name in ("crps", "tails") else 2 if name == "skill" else 1
            sign = "+" if name == "skill" else ""
            values = found.scores[name]
            rows.append([shown, *("" if v != v else f"{100 * v:{sign}.{digits}f}" for v in values)])
    print_table(["published forecasts", *labels], rows)
    count, steps = len(found.tickers), found.steps
    names = " ".join(found.tickers[:5]) + (" …" if count > 5 else "")
    first, last, _ = found.runs[0].manifest.test
    print(
        "\n"
        + textwrap.fill(
            f"Of the same sessions, {first} to {last}, of {names}, mean of steps {steps[0]} to "
            f"{steps[-1]}. CRPS and tails are in % of the price; lower is better. No test was "
            "made of the difference, which may be luck: lstm backtest with both configs makes one.",
            79,
        )
    )
