"""Init: a folder with the shipped configs and an empty workspace."""

from __future__ import annotations

from pathlib import Path

from lstmcli.config import shipped_configs
from lstmcli.errors import ConfigError
from lstmcli.store import Workspace


def init(folder: Path, *, force: bool) -> list[Path]:
    """Copy the shipped configs into `folder/configs` and make `folder/data`.

    Raises:
        ConfigError: a config is there already and `force` is not set.
    """
    workspace = Workspace(folder / "data")
    copies = {folder / "configs" / path.name: path for path in shipped_configs().values()}
    there = [copy for copy in copies if copy.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} exists already, and {len(there) - 1} more.",
            hint="lstm init --force overwrites them; another folder: lstm init FOLDER",
        )
    workspace.check_writable()
    for copy, path in copies.items():
        workspace.write(copy, path.read_bytes())
    return sorted(copies)
