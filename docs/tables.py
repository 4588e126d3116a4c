"""The generated parts of README.md and of these pages, as Markdown; `make docs` writes them.

A page calls a function of this module between `[[[cog` and `[[[end]]]`.
"""

from __future__ import annotations

import ast
import csv
import importlib
import importlib.util
import inspect
import re
import statistics
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from lstmcli.cli import app
from lstmcli.config import RunConfig, shipped_configs
from lstmcli.config.models import MODELS
from lstmcli.evaluation.backtest import BacktestConfig
from lstmcli.features import MARKET_KINDS, OWN_FEATURES
from lstmcli.forecasters.training import TrainingConfig
from lstmcli.frames import Section
from lstmcli.splits import SplitConfig
from lstmcli.windows import WindowConfig

RESULTS = Path(__file__).parent.parent / "results"


def results(name: str) -> list[dict[str, str]]:
    """Return the rows of a table in `results`."""
    with (RESULTS / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


# Commands


def commands() -> str:
    """Return the help of every command, a heading each."""

    def below(group: Any, words: list[str]) -> Iterator[str]:
        for name, command in group.commands.items():
            here = [*words, name]
            if hasattr(command, "commands"):
                yield from below(command, here)
                continue
            text = CliRunner().invoke(app, [*here, "--help"], prog_name="lstm").output.strip()
            yield f"## `{' '.join(['lstm', *here])}`\n\n```text\n{text}\n```"

    return "\n\n".join(below(typer.main.get_command(app), []))


def root_help() -> str:
    """Return what `lstm --help` prints."""
    text = CliRunner().invoke(app, ["--help"], prog_name="lstm").output.strip()
    return f"```text\n{text}\n```"


# Scaling


def _stages() -> dict[str, list[dict[str, str]]]:
    """Return the rows of each task that was measured, few tickers first."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in results("scaling.csv"):
        if row["peak_mb"]:
            found.setdefault(row["stage"], []).append(row)
    return found


def scaling() -> str:
    """Return a table of what tasks cost, on two sizes of market."""
    head = ["task", "tickers", "seconds", "memory, MB", "bars, MB", "task, kB", "result, MB"]
    rows = [
        [
            row["stage"],
            row["tickers"],
            row["seconds"],
            row["peak_mb"],
            f"{int(row['panel_bytes']) / 1e6:.1f}",
            f"{int(row['task_bytes']) / 1e3:.1f}",
            f"{int(row['result_bytes']) / 1e6:.1f}",
        ]
        for stage in _stages().values()
        for row in stage
    ]
    return table(head, rows)


def scaled(tickers: int = 5000, tasks: int = 64) -> str:
    """Return a table of what the same tasks would cost on a large market."""
    head = ["task", "minutes", "memory, GB", "bars, GB", "result, GB"]
    cores = (1, 8, 64)
    head += [f"hours on {count} core{'s' * (count > 1)}" for count in cores]
    rows = []
    for stage, (few, many) in _stages().items():
        if stage.startswith("forecasts"):
            continue  # a universe is more tasks, not larger ones

        def line(column: str, few: dict[str, str] = few, many: dict[str, str] = many) -> float:
            low, high = (float(row[column]) for row in (few, many))
            step = (high - low) / (int(many["tickers"]) - int(few["tickers"]))
            return high + step * (tickers - int(many["tickers"]))

        seconds = line("seconds")
        rows.append(
            [
                stage,
                f"{seconds / 60:.1f}",
                f"{line('peak_mb') / 1e3:.1f}",
                f"{line('panel_bytes') / 1e9:.2f}",
                f"{line('result_bytes') / 1e9:.2f}",
                *(f"{-(-tasks // count) * seconds / 3600:.1f}" for count in cores),
            ]
        )
    return table(head, rows)


def cores(name: str = "cores.csv") -> str:
    """Return a table of how much sooner equal tasks are done by more workers."""
    head = ["tasks", "tickers", "executor", "workers", "seconds", "times as fast"]
    rows = [
        [
            f"{row['tasks']} of {row['stage']}",
            row["tickers"],
            row["executor"],
            row["workers"],
            row["seconds"],
            row["ratio_to_first"],
        ]
        for row in results(name)
    ]
    return table(head, rows)


def forecasts(tickers: int = 5000, together: int = 50) -> str:
    """Return a table of what the forecasts of a large market would cost."""
    (few, _) = _stages()["forecasts, pretrained"]
    tasks = tickers // together
    seconds = float(few["seconds"]) * together / int(few["tickers"])
    rows = [
        [
            str(count),
            f"{-(-tasks // count) * seconds / 60:.1f}",
            f"{count * float(few['peak_mb']) / 1e3:.1f}",
        ]
        for count in (1, 8, 64)
    ]
    return table(["cores", "minutes", "memory of workers, GB"], rows)


def market() -> str:
    """Return what the first prediction of a whole market took."""
    rows = {row["what"].split(", ")[1]: row for row in results("market.csv")}
    first = rows["CPU seconds"]
    cells = [
        f"{int(first['tickers']):,}",
        f"{int(first['sessions']):,}",
        f"{_median(first) / 60:.1f}",
        f"{_median(rows['peak MB']) / 1e3:.1f}",
    ]
    return table(["tickers", "sessions", "CPU minutes", "memory, GB"], [cells])


# Settings


def settings() -> str:
    """Return a table of the settings of every section of a config."""
    sections = {
        "": ("At the top", RunConfig),
        "window": ("What a window holds", WindowConfig),
        "split": ("How sessions are divided", SplitConfig),
        "training": ("How networks are trained", TrainingConfig),
        "backtest": ("How the past is replayed", BacktestConfig),
    }
    parts = []
    for name, (title, section) in sections.items():
        heading = f"{title}: `{name}`" if name else title
        parts.append(f"## {heading}\n\n{_intro(section)}{_settings(section)}")
    parts.append(
        "## The network: `model`\n\n`name` selects the network; the other settings are its own."
    )
    for name, variant in MODELS.items():
        parts.append(f"### `{name}`\n\n{variant.summary()}\n\n{_settings(variant)}")
    return "\n\n".join(parts)


def _intro(section: type[Section]) -> str:
    if section is RunConfig:
        return ""
    return inspect.getdoc(section).replace("\n\n", "\n").replace("\n", " ") + "\n\n"  # type: ignore[union-attr]


def _settings(section: type[Section]) -> str:
    described = descriptions(section)
    skipped = {"window", "split", "model", "training", "backtest"} if section is RunConfig else {}
    rows = []
    for name, field in section.model_fields.items():
        if name in skipped or (name == "name" and section is not RunConfig):
            continue
        rows.append([f"`{name}`", described.get(name, ""), _default(field), _bounds(field)])
    return table(["setting", "what it is", "default", "from … to"], rows)


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _bounds(field: Any) -> str:
    """Return the least and the largest value, where a setting states them."""
    found = {}
    parts = [*field.metadata]
    for part in field.metadata:  # Annotated[int, Field(ge=1)] keeps them one level down
        parts += getattr(part, "metadata", [])
    for part in parts:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(part, name, None) is not None:
                found[name] = getattr(part, name)
    low = _bound(found, "ge", "gt", "above")
    high = _bound(found, "le", "lt", "below")
    return f"{low} … {high}" if low and high else ""


def _bound(found: dict[str, float], reached: str, beyond: str, word: str) -> str:
    if reached in found:
        return f"{found[reached]:,}"
    return f"{word} {found[beyond]:,}" if beyond in found else ""


def descriptions(section: type[Section]) -> dict[str, str]:
    """Return the text below each setting in the source of its section."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(statement.target, ast.Name)
            found[statement.target.id] = " ".join(ast.literal_eval(below.value).split())
    return found


def configs() -> str:
    """Return the shipped configs with the first line of each."""
    rows = [
        [f"`{name}`", path.read_text("utf-8").splitlines()[0].removeprefix("# ")]
        for name, path in shipped_configs().items()
    ]
    return table(["config", "what it is"], rows)


def config_file(name: str) -> str:
    """Return a shipped config as it stands."""
    return f"```text\n{shipped_configs()[name].read_text('utf-8').strip()}\n```"


def features() -> str:
    """Return every feature with its unit."""
    own = [
        [f"`{name}`", feature.description, feature.unit] for name, feature in OWN_FEATURES.items()
    ]
    series = [
        [f"`SERIES_{name}`", kind.description, kind.unit] for name, kind in MARKET_KINDS.items()
    ]
    return table(["feature", "what it is", "unit"], [*own, *series])


# Results

_SLASH = "\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}"


def _number(text: str, form: str = "+.2f") -> str:
    return format(float(text), form) if text else ""


def market30() -> str:
    """Return the skill of thirty US large caps against the HAR ridge, over all steps."""
    spans = ("2016-2019", "2020-2023", "2016-2023")
    of = {
        (row["recipe"], row["span"]): row for row in results("market30.csv") if row["step"] == "all"
    }
    best = [of["best", span] for span in spans]
    rows = [
        ["first session", *(row["first"] for row in best), ""],
        ["last session", *(row["last"] for row in best), ""],
        ["sessions", *(f"{int(row['dates']):,}" for row in best), ""],
        ["forecasts of each recipe", *(f"{int(row['forecasts']):,}" for row in best), ""],
        ["fits", *(row["refits"] for row in best), ""],
        ["cosines of the test", *(row["cosines"].removesuffix(".0") for row in best), ""],
        ["chose settings", *(row["chosen_on"] for row in best), ""],
    ]
    words = {"BEATS": "beats it", "LOSES": "loses to it", "TIES": "cannot be told apart", "": ""}
    for recipe in (
        *("best", "best+calibrated", "lstm+calibrated", "stacked+calibrated"),
        *("multivariate+calibrated", "gradient_boosting", "har", "gjr", "garch", "ewma"),
        "random_walk",
    ):
        some = [of[recipe, span] for span in spans]
        verdict = words[some[-1]["verdict_har_ridge"]]
        rows.append([f"`{recipe}`", *map(_skill_with_interval, some), verdict])
    return table(["", *spans, "verdict against the HAR ridge"], rows)


def _skill_with_interval(row: dict[str, str]) -> str:
    skill, low, high = (float(row[f"{name}_har_ridge"]) for name in ("scaled", "low", "high"))
    return f"{skill:+.2f} ({low:+.2f} to {high:+.2f})"


def market30_by_step() -> str:
    """Return skill and coverage of the thirty US large caps at 1, 5 and 20 sessions."""
    shown = {
        "2020-2023": (
            *("best", "best+calibrated", "har_ridge", "har", "lstm+calibrated"),
            *("stacked+calibrated", "gjr", "garch", "ewma"),
        ),
        "2016-2023": (
            *("best", "best+calibrated", "har_ridge", "har", "gradient_boosting"),
            *("gjr", "garch", "ewma"),
        ),
    }
    columns = {
        "vs garch, 1 / 5 / 20 sessions": ("skill_garch", "+.2f"),
        "vs har_ridge_01": ("skill_har_ridge_01", "+.2f"),
        "t": ("t_har_ridge_01", "+.1f"),
        "vs random_walk": ("skill_random_walk", "+.2f"),
    }
    parts = []
    for span, recipes in shown.items():
        of = {
            (row["recipe"], row["step"]): row
            for row in results("market30.csv")
            if row["span"] == span
        }
        rows = []
        for recipe in recipes:
            steps = [of[recipe, step] for step in ("1", "5", "20")]
            cells = [
                _SLASH.join(_number(row[column], form) for row in steps).strip(_SLASH)
                for column, form in columns.values()
            ]
            cells.append(_SLASH.join(f"{100 * float(row['coverage80']):.1f}" for row in steps))
            rows.append([f"`{recipe}`", *cells])
        parts.append(table([span, *columns, "80 % cone"], rows))
    return "\n\n".join(parts)


def variants() -> str:
    """Return how each network did on one ticker."""
    rows = [
        [
            f"`{row['config']}`",
            f"{int(row['parameters']):,}",
            f"{float(row['seconds']):.0f}",
            f"{float(row['test_crps']):.3f}",
            f"{float(row['test_ewma']):.3f}",
            f"{float(row['test_random_walk']):.3f}",
            f"{float(row['test_in_80']):.0f}",
        ]
        for row in results("variants.csv")
    ]
    head = ["config", "parameters", "seconds", "CRPS", "EWMA's", "random walk's", "80 % cone held"]
    return table(head, rows)


PEERS = ("stock Keras", "PyTorch loop", "neuralforecast", "darts")
_EPOCH = "epoch seconds, "


def speed() -> str:
    """Return how long an epoch takes elsewhere, relative to ours."""
    rows = results("performance.csv")
    lines = []
    for what in dict.fromkeys(row["what"] for row in rows if row["who"] == "darts"):
        if not what.startswith(_EPOCH):
            continue
        of = {row["who"]: row for row in rows if row["what"] == what}
        ratios = [f"{float(of[who]['ratio_to_ours']):.1f} ×" for who in PEERS]
        title = what.removeprefix(_EPOCH).replace("1 layers", "1 layer")
        lines.append([title, f"{float(of['ours']['median']):.1f}", *ratios])
    return table(["epoch", "ours, s", *PEERS], lines)


def other_times() -> str:
    """Return what else `make bench` measures."""
    rows = [
        [
            row["what"],
            row["who"],
            _number(row["ratio_to_ours"], ".2f"),
            f"{_median(row):,.4g}",
            row["lstmcli"],
        ]
        for row in results("performance.csv")
        if not row["what"].startswith(_EPOCH)
    ]
    return table(["besides", "", "ours = 1", "median", "version"], rows)


def _median(row: dict[str, str]) -> float:
    return float(row["median"])


def evenings() -> str:
    """Return what evenings of a universe took, and the bytes that each left per ticker."""
    lines = []
    for row in results("evenings.csv"):
        if row["fetch_s"]:
            grown = [float(row[f"{part}_bytes"]) for part in ("ledger", "forecasts", "log")]
            sizes = [f"{size / float(row['tickers']) / 1000:.2f}" for size in grown]
        else:
            sizes = [""] * 3
        stages = [_number(row[f"{name}_s"], ".1f") for name in _STAGES]
        cpu, peak = f"{float(row['cpu']):.1f}", f"{float(row['peak_mb']):.0f}"
        lines.append([f"{row['what']}, {row['evening']}", cpu, peak, *stages, *sizes])
    head = ["process, evening", "CPU s", "peak MB", *(f"{name}, s" for name in _STAGES)]
    return table([*head, "ledger, kB", "forecasts, kB", "log, kB"], lines)


_STAGES = ("fetch", "forecast", "score", "report")


def year() -> str:
    """Return what evenings took and left, by thirds of a year of them, as medians."""
    rows = results("year.csv")
    lines = []
    usual = [row for row in rows if row["what"] == "evening"]
    size = -(-len(usual) // 3)
    for first in range(0, len(usual), size):
        third = usual[first : first + size]
        of = f"evenings {third[0]['evening']} to {third[-1]['evening']}"
        again = [
            row
            for row in rows
            if row["what"] == "nothing new" and row["evening"] in {it["evening"] for it in third}
        ]
        grown = [
            f"{_middle(third, f'{part}_bytes') / float(third[0]['tickers']) / 1000:.2f}"
            for part in ("ledger", "forecasts", "log")
        ]
        cpu = [f"{_middle(each, 'cpu'):.2f}" for each in (third, again)]
        stages = [f"{_middle(third, f'{name}_s'):.1f}" for name in ("score", "report")]
        lines.append([of, *cpu, *stages, f"{_middle(third, 'peak_mb'):.0f}", *grown])
    head = ["", "CPU s", "nothing new", "score, s", "report, s", "peak MB"]
    return table([*head, "ledger, kB", "forecasts, kB", "log, kB"], lines)


def _middle(rows: list[dict[str, str]], name: str) -> float:
    return statistics.median(float(row[name] or 0) for row in rows)


def versions() -> str:
    """Return what the same commands take by an older version and by this one."""
    rows = results("versions.csv")
    old, new = dict.fromkeys(row["version"] for row in rows)
    lines = []
    for what in dict.fromkeys(row["what"] for row in rows):
        of = {
            version: [row for row in rows if (row["what"], row["version"]) == (what, version)]
            for version in (old, new)
        }
        cells = [what]
        for name, form in (("seconds", ".1f"), ("cpu", ".1f"), ("peak_mb", ".0f")):
            cells += [format(_middle(of[version], name), form) for version in (old, new)]
        lines.append(cells)
    heads = [f"{of}, {v}" for of in ("seconds", "CPU s", "peak MB") for v in (old, new)]
    return table(["", *heads], lines)


def growth() -> str:
    """Return CPU seconds and memory by number of tickers, and how they grow."""
    # Seconds by the clock depend on what else the machine does.
    rows = [row for row in results("growth.csv") if not row["what"].endswith(", seconds")]
    numbers = list(dict.fromkeys(row["tickers"] for row in rows))
    lines = []
    for what in dict.fromkeys(row["what"] for row in rows):
        of = {row["tickers"]: row for row in rows if row["what"] == what}
        values = [f"{_median(of[n]):,.4g}" if n in of else "" for n in numbers]
        exponent = next(iter(of.values()))["exponent"]
        lines.append([what, *values, _number(exponent, ".2f")])
    return table(["", *(f"{n} tickers" for n in numbers), "exponent"], lines)


def how_made() -> str:
    """Return each result with the command that makes it."""
    text = (RESULTS / "README.md").read_text("utf-8")
    return text[text.index("| file |") :].strip()


def workspace() -> str:
    """Return what `data/README.md` says of the files in a workspace."""
    text = (RESULTS.parent / "data" / "README.md").read_text("utf-8")
    return text[text.index("| path |") :].strip()


# Words


def panel() -> str:
    """Return the skill of the panel network on tickers that it never saw, by step."""
    rows = []
    of = {
        (row["judged"], row["recipe"], row["step"]): row
        for row in results("panel.csv")
        if (row["first"], row["last"]) == ("2016", "2023")
    }
    against = ("har_ridge", "har_ridge_clock", "gjr")
    for judged, name in (("market30", "30 others"), ("judges", "100 judges")):
        for recipe in (*PANEL_RECIPES, "har_ridge_clock"):
            steps = [of[judged, recipe, step] for step in ("1", "5", "10", "20")]
            cells = [
                _SLASH.join(_number(row[f"skill_{rival}"], "+.2f") for row in steps)
                if recipe != rival
                else ""
                for rival in against
            ]
            cells.insert(1, _SLASH.join(_number(row["t_har_ridge"], "+.1f") for row in steps))
            cells.append(_SLASH.join(f"{100 * float(row['coverage80']):.1f}" for row in steps))
            rows.append([name, f"`{recipe}`", *cells])
    head = ["judged on", "", "vs har_ridge, 1 / 5 / 10 / 20 sessions", "t"]
    return table([*head, "vs har_ridge_clock", "vs gjr", "80 % cone held, %"], rows)


def pretrained() -> str:
    """Return the skill of the network that ships, on shares that it never saw, and its cones."""
    of = {
        row["step"]: row
        for row in results("panel.csv")
        if (row["judged"], row["recipe"], row["first"], row["last"])
        == ("judges", "pretrained", "2016", "2023")
    }
    steps = [of[step] for step in ("1", "5", "20")]
    rows = [
        [f"skill against `{rival}`", *(_number(row[f"skill_{rival}"]) for row in steps)]
        for rival in ("gjr", "har_ridge", "har_ridge_clock")
    ]
    held = [f"{100 * float(row['coverage80']):.1f} %" for row in steps]
    head = ["`pretrained`, 100 shares", "1 session", "5 sessions", "20 sessions"]
    return table(head, [*rows, ["80 % range held", *held]])


def pretrained_by_rival() -> str:
    """Return the skill of the network that ships, against each rival and in each half."""
    of = {
        (row["judged"], row["recipe"], row["first"], row["last"], row["step"]): row
        for row in results("panel.csv")
    }
    whole = ("2016", "2023")
    wanted = [
        (judged, recipe, whole, rival)
        for judged in ("judges", "market30")
        for recipe in PRETRAINED
        for rival in ("har_ridge_01", "har_ridge", "har_ridge_clock", "gjr")
    ]
    halves = (("2016", "2019"), ("2020", "2023"))
    wanted[4:4] = [("judges", "pretrained", half, "har_ridge") for half in halves]
    rows = []
    for judged, recipe, span, rival in wanted:
        steps = [of[judged, recipe, *span, step] for step in ("1", "5", "10", "20")]
        skill, t = ((f"skill_{rival}", "+.2f"), (f"t_{rival}", "+.1f"))
        cells = [_SLASH.join(_number(row[name], f) for row in steps) for name, f in (skill, t)]
        years = f", {'-'.join(span)}" if span != whole else ""
        rows.append([f"{_judged(judged, recipe)}{years}", f"`{rival}`", *cells])
    return table(["judged on", "against", "skill, 1 / 5 / 10 / 20 sessions", "t"], rows)


def announcements() -> str:
    """Return the skill of the network that ships, with dates known, less early, and not."""
    names = {
        "judges, with dates": "47 judges with dates",
        "judges": "100 judges",
        "market30": "30 others",
    }
    known = {"whole": "whole horizon", "five": "five sessions ahead", "none": "not known"}
    rows = []
    for judged, name in names.items():
        for knowledge, words in known.items():
            steps = _of_announcements(judged, knowledge, "pretrained", "all")
            cells = [
                _SLASH.join(_number(row[column], f) for row in steps) if steps[0][column] else ""
                for column, f in (
                    ("skill_har_ridge_01", "+.2f"),
                    ("t_har_ridge_01", "+.1f"),
                    ("skill_har_ridge_clock", "+.2f"),
                    ("skill_har_ridge_dates", "+.2f"),
                )
            ]
            rows.append([name, words, *cells])
    head = ["judged on", "dates known", "vs har_ridge_01, 1 / 5 / 10 / 20 sessions", "t"]
    return table([*head, "vs har_ridge_clock", "vs har_ridge_dates"], rows)


def announcements_by_day() -> str:
    """Return what dates are worth on days next to a report, and on the others."""
    rows = []
    for judged, name in (("judges", "47 judges with dates"), ("market30", "30 others")):
        for days in ("next to a report", "others"):
            steps = _of_announcements(judged, "whole", "pretrained", days)
            skills = [
                _SLASH.join(_number(row[f"skill_{rival}"], "+.2f") for row in steps)
                for rival in ("pretrained_none", "har_ridge_01", "har_ridge_dates")
            ]
            held = _SLASH.join(f"{100 * float(row['coverage80']):.1f}" for row in steps)
            rows.append([name, days, *skills, held])
    head = ["judged on", "days", "vs itself without dates, 1 / 5 / 10 / 20", "vs har_ridge_01"]
    return table([*head, "vs har_ridge_dates", "80 % cone held, %"], rows)


def announcements_by_year() -> str:
    """Return what dates are worth in each year, against the same network without them."""
    rows = []
    years = [str(year) for year in range(2016, 2024)]
    for judged, name in (("judges", "100 judges"), ("market30", "30 others")):
        for step in ("1", "5"):
            of = [_of_announcements(judged, "whole", "pretrained", "all", (y, y)) for y in years]
            cells = [
                _number(row["skill_pretrained_none"], "+.2f")
                for steps in of
                for row in steps
                if row["step"] == step
            ]
            rows.append([name, step, *cells])
    return table(["judged on", "step", *years], rows)


def _of_announcements(
    judged: str, known: str, recipe: str, days: str, span: tuple[str, str] = ("2016", "2023")
) -> list[dict[str, str]]:
    wanted = (judged, known, recipe, days, *span)
    names = ("judged", "known", "recipe", "days", "first", "last")
    found = [
        row for row in results("announcements.csv") if tuple(row[name] for name in names) == wanted
    ]
    return sorted(found, key=lambda row: int(row["step"]))


def pretrained_coverage() -> str:
    """Return how often the cones of the network that ships held, 2016 to 2023."""
    rows = []
    for judged in ("judges", "market30"):
        for recipe in PRETRAINED:
            steps = [
                row
                for row in results("panel.csv")
                if (row["judged"], row["recipe"]) == (judged, recipe)
                and (row["first"], row["last"]) == ("2016", "2023")
            ]
            cells = [
                _SLASH.join(f"{100 * float(row[f'coverage{level}']):.1f}" for row in steps)
                for level in (50, 80, 95)
            ]
            cells.append(_SLASH.join(f"{float(row['worst80']):.1f}" for row in steps))
            rows.append([_judged(judged, recipe), *cells])
    head = ["judged on", "50 %, 1 / 5 / 10 / 20 sessions", "80 %", "95 %"]
    return table([*head, "80 %, worst share, points off"], rows)


def _judged(judged: str, recipe: str) -> str:
    name = {"judges": "100 judges", "market30": "30 others"}[judged]
    return name + recipe.removeprefix("pretrained")


PRETRAINED = ("pretrained", "pretrained, no market")


def panel_by_training() -> str:
    """Return what configs gain that are trained on thirty tickers, and the panel's alone."""
    rows = []
    of = {
        (row["judged"], row["recipe"], row["step"]): row
        for row in results("panel.csv")
        if (row["first"], row["last"]) == ("2016", "2023")
    }
    recipes = dict.fromkeys(recipe for judged, recipe, _ in of if judged == "judges")
    for recipe in (each for each in recipes if each.endswith(", of market30") or each == "panel"):
        steps = [of["judges", recipe, step] for step in ("1", "5", "10", "20")]
        cells = [_SLASH.join(_number(row[c], f) for row in steps) for c, f in _AGAINST_RIDGE]
        rows.append([f"`{recipe}`", *cells])
    return table(["", "vs har_ridge, 1 / 5 / 10 / 20 sessions", "t"], rows)


_AGAINST_RIDGE = (("skill_har_ridge", "+.2f"), ("t_har_ridge", "+.1f"))

PANEL_RECIPES = ("panel", "panel, alone", "panel, alone, no market")


def proof() -> str:
    """Return the skill of five recipes against the random walk, of thirty shares."""
    of = {
        (row["recipe"], row["step"]): row
        for row in results("market30.csv")
        if row["span"] == "2016-2023"
    }
    rows = []
    for recipe in ("best", "har_ridge", "garch", "ewma", "random_walk"):
        near, far = (of[recipe, step] for step in ("1", "20"))
        cells = [_number(row["skill_random_walk"]) for row in (near, far)]
        if recipe == "random_walk":
            cells = ["0", "0"]
        cells += [f"{100 * float(row['coverage80']):.1f} %" for row in (near, far)]
        rows.append([f"`{recipe}`", *cells])
    head = ["", "skill, 1 session", "20 sessions", "80 % cone held, 1 session", "20 sessions"]
    return table(head, rows)


def glossary() -> str:
    """Return the glossary of `lstm explain`."""
    if importlib.util.find_spec("lstmcli.report.glossary") is None:
        return ""
    terms = importlib.import_module("lstmcli.report.glossary")
    text = terms.glossary_markdown()
    # GitHub knows no targets of MyST, but makes an anchor of every heading.
    target = re.compile(r"^\((?P<target>[\w-]+)\)=\n## (?P<name>.*)$", re.MULTILINE)
    for found in target.finditer(text):
        anchor = re.sub(r"[^\w -]", "", found["name"].lower()).replace(" ", "-")
        text = text.replace(f"(#{found['target']})", f"(#{anchor})")
    text = target.sub(r"## \g<name>", text).strip()
    return f"`lstm explain` prints the same, a term at a time.\n\n{text}"
