"""Runs beside each other on the terminal and in JSON."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any

from lstmcli.cli.screen import cut, screen_width, wrapped
from lstmcli.cli.terminal import print_table

if TYPE_CHECKING:
    from lstmcli.pipeline.runs import RunComparison

MIN_VALUE = 12
"""Columns that a value of a setting has at least."""

_SCORES = {
    "crps": "CRPS %",
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
        "differ": found.differ,
        "tickers": list(found.tickers),
        "steps": [int(step) for step in found.steps],
        "sessions": found.sessions
        and {
            "count": found.sessions[0],
            "first": found.sessions[1].date(),
            "last": found.sessions[2].date(),
        },
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
        print(wrapped(f"{found.differ} So their scores cannot be compared."))
        return
    _print_scores(found, labels)


def _print_settings(found: RunComparison, labels: list[str]) -> None:
    first = max(len(name) for name in (*found.settings, "setting"))
    room = screen_width() - first - 2 * len(labels)
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
    scores = found.scores
    rows = [
        [shown, *(f"{100 * value:.{3 if name == 'crps' else 1}f}" for value in scores[name])]
        for name, shown in _SCORES.items()
    ]
    tested = scores.to_dict("records")[1:]
    rows.append([f"skill against {labels[0]} %", "", *(_number(row["skill"]) for row in tested)])
    rows.append(["  interval", "", *(_interval(row) for row in tested)])
    rows.append(["", "", *(_word(row) for row in tested)])
    print_table(["published forecasts", *labels], rows)
    count = len(found.tickers)
    names = " ".join(found.tickers[:5]) + (f" and {count - 5} more" if count > 5 else "")
    steps = " and ".join(", ".join(map(str, found.steps)).rsplit(", ", 1))
    share = " The intervals share the 5 %." if len(tested) > 1 else ""
    if found.sessions is not None:
        sessions, first, last = found.sessions
        text = (
            f"On the {sessions:,} sessions that they share, {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}, of {names}, {steps} sessions ahead. CRPS is in % of the "
            "price; lower is better. Skill: how much lower the loss in units of volatility is, "
            f"with its 95 % interval.{share} To choose between many configs, lstm backtest with "
            "all of them is the fairer test."
        )
        print(f"\n{wrapped(text)}")


def _number(share: float) -> str:
    return "" if share != share else f"{100 * share:+.2f}"


def _interval(row: dict[Any, Any]) -> str:
    return "" if row["low"] != row["low"] else f"{_number(row['low'])} to {_number(row['high'])}"


def _word(row: dict[Any, Any]) -> str:
    if row["low"] != row["low"]:
        return "too few sessions"
    if row["low"] == row["high"]:  # the same difference on every date, which no test can judge
        return "cannot tell"
    return "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "cannot tell"
