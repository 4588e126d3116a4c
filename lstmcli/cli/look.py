"""Commands that look: status, runs, models, config, doctor; and init."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli._terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Config,
    Debug,
    Quiet,
    Set,
    WorkspaceFolder,
    highest,
    need_command,
    prepare,
    print_json,
    print_table,
    say,
    say_next,
)
from lstmcli.errors import ConfigError

config = typer.Typer(rich_markup_mode=None)


@config.callback(invoke_without_command=True)
def _config(context: typer.Context) -> None:
    """Show or check a config.

    \b
    lstm config show --config stacked
    lstm config check my.yaml
    """
    need_command(context)


def status(
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="AGE",
            help="Exit 6 unless lstm daily succeeded within 36h, 3d, ….",
        ),
    ] = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Show how old each stored ticker is.

    \b
    lstm status
    lstm status --json | jq -r '.tickers[] | select(.sessions_behind > 0).ticker'
    lstm status --max-age 4d -q || echo "no forecast" | mail me
    """
    prepare(quiet=quiet, debug=debug)
    most = None if max_age is None else _age(max_age)
    from lstmcli.pipeline import workspace as pipeline
    from lstmcli.store import Workspace

    if most is not None:
        at = pipeline.check_age(Workspace(workspace), most)
        say(f"lstm daily last succeeded at {at.isoformat()}", quiet=quiet)
        return 0
    found = pipeline.status(Workspace(workspace))
    if as_json:
        print_json({"tickers": [vars(each) for each in found]})
    elif not found:
        print(f"nothing is stored in {workspace}")
        say_next("lstm fetch MRK", quiet=quiet)
    else:
        rows = [
            [
                each.ticker,
                each.source or "damaged",
                f"{each.rows:,}" if each.rows else "",
                str(each.last_session or ""),
                "" if each.sessions_behind is None else f"{each.sessions_behind:,}",
                each.forecast or "",
                each.run[17:] if each.run else "",  # Without its time: 80 columns.
            ]
            for each in found
        ]
        head = ["ticker", "source", "sessions", "last", "behind", "forecast", "newest run"]
        print_table(head, rows, left=2)
    return highest((each.error for each in found if each.error), as_json=as_json, debug=debug)


def _age(text: str) -> timedelta:
    """Return an age such as 90m, 36h or 3d.

    Raises:
        ConfigError: it is none.
    """
    units = {"m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdecimal() or not 0 < int(number) < 100_000:
        raise ConfigError(
            f"Expected an age in minutes, hours or days. Received: {text!r}.",
            hint="lstm status --max-age 36h",
        )
    return timedelta(seconds=int(number) * units[unit])


def runs(
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """List finished and interrupted runs.

    \b
    lstm runs
    lstm runs --json | jq -r '.runs[-1].run'
    """
    prepare(quiet=quiet, debug=debug)
    from lstmcli.pipeline import workspace as pipeline
    from lstmcli.store import Workspace

    finished, interrupted, errors = pipeline.runs(Workspace(workspace))
    if as_json:
        answer = [manifest.model_dump(mode="json") for manifest in finished]
        print_json({"runs": answer, "interrupted": interrupted})
        return highest(errors, as_json=True, debug=debug)
    if not finished and not interrupted and not errors:
        print(f"no runs in {workspace}")
        say_next("lstm train MRK --config lstm.yaml", quiet=quiet)
    if finished:
        rows = [
            [manifest.run, " ".join(manifest.tickers)[:20], f"{manifest.seconds:.0f}"]
            for manifest in finished
        ]
        print_table(["run", "tickers", "seconds"], rows, left=2)
    for run in interrupted:
        print(f"{run}  interrupted: lstm train --resume")
    return highest(errors, debug=debug)


def models(as_json: AsJson = False, debug: Debug = False) -> int:
    """List networks and configs.

    \b
    lstm models
    """
    prepare(quiet=False, debug=debug)
    from lstmcli.config import shipped_configs
    from lstmcli.models import VARIANTS

    variants = {name: variant.summary() for name, variant in VARIANTS.items()}
    configs = list(shipped_configs())
    if as_json:
        print_json({"variants": variants, "configs": configs})
        return 0
    for name, summary in variants.items():
        print(f"{name:<16} {summary}")
    print(f"\nconfigs: {', '.join(configs)}")
    return 0


@config.command("show")
def config_show(name: Config = "lstm.yaml", overrides: Set = None, debug: Debug = False) -> int:
    """Print a config with every default written out.

    \b
    lstm config show --config stacked --set model.units=[64,32]
    """
    prepare(quiet=False, debug=debug)
    from lstmcli.config import load_config

    print(load_config(name, overrides=overrides or []).to_yaml(), end="")
    return 0


@config.command("check")
def config_check(
    names: Annotated[list[str], typer.Argument(metavar="FILE")],
    overrides: Set = None,
    debug: Debug = False,
) -> int:
    """Check configs and say every mistake with its line.

    \b
    lstm config check my.yaml
    """
    prepare(quiet=False, debug=debug)
    from lstmcli.config import load_config

    errors = []
    for name in names:
        try:
            load_config(name, overrides=overrides or [])
        except ConfigError as error:
            errors.append(error)
        else:
            print(f"{name}: ok")
    return highest(errors, debug=debug)


def doctor(
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Show versions, check every stored file.

    \b
    lstm doctor
    """
    prepare(quiet=quiet, debug=debug)
    from lstmcli.pipeline import workspace as pipeline
    from lstmcli.store import Workspace

    checks = pipeline.doctor(Workspace(workspace))
    if as_json:
        print_json({"checks": [vars(check) for check in checks]})
    else:
        print_table(["", ""], [[check.name, check.value] for check in checks], left=2)
    return highest((check.error for check in checks if check.error), as_json=as_json, debug=debug)


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite configs.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Copy the configs into ./configs, make ./data.

    \b
    lstm init
    lstm init ~/forecasts
    """
    prepare(quiet=quiet, debug=debug)
    from lstmcli.pipeline import workspace as pipeline

    for path in pipeline.init(folder, force=force):
        print(path)
    say("data goes to " + str(folder / "data"), quiet=quiet)
    say_next("lstm fetch MRK", quiet=quiet)
    return 0
