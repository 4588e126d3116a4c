"""`lstm models`, `lstm config` and `lstm init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.terminal import (
    AsJson,
    Config,
    Quiet,
    Set,
    highest,
    need_command,
    prepare,
    print_json,
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


def models(as_json: AsJson = False) -> int:
    """List networks and configs.

    \b
    lstm models
    """
    prepare()
    from lstmcli.config import shipped_configs
    from lstmcli.config.models import MODELS

    variants = {name: model.summary() for name, model in MODELS.items()}
    configs = list(shipped_configs())
    if as_json:
        print_json({"variants": variants, "configs": configs})
        return 0
    for name, summary in variants.items():
        print(f"{name:<16} {summary}")
    print(f"\nconfigs: {', '.join(configs)}")
    return 0


@config.command("show")
def config_show(name: Config = "best.yaml", overrides: Set = None) -> int:
    """Print a config with every default written out.

    \b
    lstm config show
    lstm config show --config stacked --set model.units=[64,32]
    """
    prepare()
    from lstmcli.config import load_config

    print(load_config(name, overrides=overrides or []).to_yaml(), end="")
    return 0


@config.command("check")
def config_check(
    names: Annotated[list[str], typer.Argument(metavar="FILE")],
    overrides: Set = None,
) -> int:
    """Check configs and say every mistake with its line.

    \b
    lstm config check my.yaml
    """
    prepare()
    from lstmcli.config import load_config

    errors = []
    for name in names:
        try:
            load_config(name, overrides=overrides or [])
        except ConfigError as error:
            errors.append(error)
        else:
            print(f"{name}: ok")
    return highest(errors)


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite configs.")] = False,
    quiet: Quiet = False,
) -> int:
    """Copy the configs into ./configs, make ./data.

    \b
    lstm init
    lstm init ~/forecasts
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import init as pipeline

    for path in pipeline.init(folder, force=force):
        print(path)
    say("data goes to " + str(folder / "data"), quiet=quiet)
    say_next("lstm fetch MRK", quiet=quiet)
    return 0
