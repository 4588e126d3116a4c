"""Where a config lies: as a path, in ./configs/, or among those that ship."""

from __future__ import annotations

import difflib
import pathlib

from lstmcli.config._yaml import MAX_BYTES, TOO_LONG, show_value
from lstmcli.errors import ConfigError


def shipped_configs() -> dict[str, pathlib.Path]:
    """Return the configs that ship with the package, by name without `.yaml`."""
    return {path.stem: path for path in sorted(_shipped_folder().glob("*.yaml"))}


def _shipped_folder() -> pathlib.Path:
    package = pathlib.Path(__file__).parent.parent
    # A wheel carries them inside; in a checkout they lie beside the package.
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def config_folders() -> list[pathlib.Path]:
    """Return the folders in which `find_config` looks for a name, in its order."""
    here, shipped = pathlib.Path("configs").absolute(), _shipped_folder()
    return [here, shipped] if here.is_dir() and here != shipped else [shipped]


def find_config(name: str) -> pathlib.Path:
    """Return the file of a config.

    Raises:
        ConfigError: there is none; with the nearest names that exist.
    """
    shipped = shipped_configs()
    stem = name.removesuffix(".yaml")
    candidates = [pathlib.Path(name), pathlib.Path(stem + ".yaml")]
    if stem == pathlib.PurePath(stem).name:
        candidates.append(pathlib.Path("configs", stem + ".yaml"))
        candidates.extend(path for known, path in shipped.items() if known == stem)
    for path in candidates:
        if _is_file(path):
            return path
    known = sorted({path.stem for path in pathlib.Path("configs").glob("*.yaml")} | set(shipped))
    near = difflib.get_close_matches(pathlib.PurePath(stem).name, known)
    raise ConfigError(
        f"Expected a config file. Received: {show_value(name)}, which does not exist.",
        hint=f"did you mean {' or '.join(near)}?" if near else f"a path, or {', '.join(known)}",
    )


def hides_shipped(name: str, path: pathlib.Path) -> bool:
    """Return whether a file that a bare name has found is another than the one that ships.

    A copy of that, as `lstm init` makes it, is not.
    """
    shipped = shipped_configs().get(path.stem)
    if shipped is None or pathlib.PurePath(name).name != name:
        return False
    try:
        return path.read_bytes() != shipped.read_bytes()
    except OSError:
        return False


def _is_file(path: pathlib.Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes, or a closed folder
        return False


def read_text(path: pathlib.Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: {TOO_LONG}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        raise ConfigError(
            f"{path}:{len(before)}:{len(before[-1].decode('utf-8')) + 1}: Expected UTF-8. "
            f"Received: the byte 0x{content[error.start]:02x}.",
            hint="save the file as UTF-8",
        ) from error
