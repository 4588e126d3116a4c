"""The project around the package: Makefile, lock, configs, wheel."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from lstmcli.config import config_sha, load_config
from lstmcli.models import VARIANTS

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def run(*command: str | Path) -> str:
    """Return what a command prints in the repository's root; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def project_files() -> list[Path]:
    """Return the files that git keeps or would keep."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# Makefile


def test_make_alone_lists_every_target():
    listing = run("make", "--no-print-directory")
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    listed = re.findall(r"^  make (\w+) +\S", listing, re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())
    assert {"setup", "demo", "test", "check", "docs", "screens", "lock", "clean"} <= set(listed)


def test_make_setup_refuses_an_old_python_by_name(tmp_path):
    old = tmp_path / "python3.9"
    # Answers the version check with "no", and `--version` as that Python would.
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" || exit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        # -W: as if the stamp of a finished setup were out of date.
        ["make", "setup", f"PYTHON={old}", "-W", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "Expected Python 3.11, 3.12 or 3.13. Received: Python 3.9.1." in done.stderr


# Imports


def test_every_module_has_a_place_in_the_import_contract():
    (contract,) = PROJECT["tool"]["importlinter"]["contracts"]
    placed = {name for layer in contract["layers"] for name in layer.split(" | ")}
    package = ROOT / "lstmcli"
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    assert contract["exhaustive"]
    assert modules - {"__init__"} == placed


def test_imports_point_one_way():
    lint_imports = Path(sys.executable).with_name("lint-imports")
    if not lint_imports.exists():
        pytest.skip("import-linter is not installed")
    run(lint_imports, "--no-cache")


def test_ruff_lets_heavy_imports_and_only_those_into_functions(tmp_path):
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    module = tmp_path / "module.py"
    module.write_text(
        "def f():\n    import keras\n    from lstmcli.models import layers\n    import json\n\n\n"
        "import tensorflow\n"
    )
    command = [ruff, "check", "--no-cache", "--output-format", "concise", module]
    command += ["--config", ROOT / "pyproject.toml", "--select", "PLC0415,TID253"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = re.findall(r"module\.py:(\d+):\d+: (\w+)", done.stdout)
    assert found == [("4", "PLC0415"), ("7", "TID253")]


# Configs


def test_every_variant_has_a_config_of_its_name():
    assert set(VARIANTS) <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_loads_and_opens_with_the_command_that_runs_it(path):
    load_config(str(path))
    text = path.read_text("utf-8")
    header = text[: re.search(r"^[^#]", text, re.MULTILINE).start()]
    command = rf"lstm (train|backtest) .*--config {path.stem}(\.yaml)?\b"
    assert re.search(rf"^#  +{command}", header, re.MULTILINE)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_config_named_like_a_variant_holds_it(name):
    assert load_config(name).model.name == name


# Lock


def locked() -> dict[str, str]:
    """Return name and version of everything that the lock pins."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.M)}


def test_the_lock_holds_every_dependency():
    wanted = [*PROJECT["project"]["dependencies"]]
    for group in PROJECT["dependency-groups"].values():
        wanted += group
    names = {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in wanted}
    assert names <= set(locked())


def test_every_line_of_the_lock_is_a_pin_with_a_hash():
    lock = (ROOT / "requirements.lock").read_text("utf-8").replace("\\\n", " ")
    for line in filter(None, lock.splitlines()):
        assert re.match(r"[\w.-]+==\S+( ; [^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+$", line), line


def test_the_package_declares_ranges_only():
    for requirement in PROJECT["project"]["dependencies"]:
        assert "==" not in requirement
        assert ">=" in requirement


def test_every_import_of_the_package_is_a_declared_dependency():
    # Import names that differ from the distribution's.
    renamed = {"sklearn": "scikit-learn", "talib": "ta-lib", "ruamel": "ruamel-yaml"}
    declared = {
        normal(re.match(r"[\w.-]+", requirement)[0])
        for requirement in [
            *PROJECT["project"]["dependencies"],
            *PROJECT["project"]["optional-dependencies"]["dask"],
        ]
    }
    imported = set()
    for path in (ROOT / "lstmcli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    third = imported - set(sys.stdlib_module_names) - {"lstmcli", "__future__"}
    assert {normal(renamed.get(name, name)) for name in third} <= declared


# What a clone and a wheel hold


def test_no_file_names_the_host_of_a_package_index():
    # The brackets keep this line from matching itself.
    hosts = re.compile(r"py[p]i\.|python[h]osted|--(extra-)?index-url[ =]|--find-links[ =]", re.I)
    for path in project_files():
        found = hosts.search(path.read_bytes().decode("utf-8", "replace"))
        assert not found, f"{path.relative_to(ROOT)}: {found[0]}"


def test_ignored_patterns_are_anchored():
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in patterns if not line.startswith(("/", "!/"))] == ["__pycache__/"]


def test_the_workspace_keeps_its_readme_only():
    done = subprocess.run(
        ["git", "check-ignore", "data/README.md", "data/bars/X.json", "lstmcli/models/lstm.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["data/bars/X.json"]


def test_the_wheel_carries_the_configs_and_no_test(tmp_path):
    pytest.importorskip("hatchling")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"lstmcli/configs/{path.name}" for path in CONFIGS} <= set(names)
    # Without `py.typed` type checkers ignore the types of an installed package.
    assert {"lstmcli/config/__init__.py", "lstmcli/py.typed"} <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "lstmcli",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


# Results


def test_the_table_of_variants_belongs_to_the_configs_as_they_stand():
    lines = (RESULTS / "variants.csv").read_text("utf-8").splitlines()
    rows = {row["config"]: row for row in csv.DictReader(lines)}
    # A config that is new has not been measured yet.
    assert len(rows) >= 10
    assert set(rows) <= {path.stem for path in CONFIGS}
    for name, row in rows.items():
        assert row["config_sha"] == config_sha(load_config(name))[:12], f"{name} was changed since"
        assert 0 < float(row["test_crps"]) < 10
        assert int(row["parameters"]) > 0


def test_every_result_says_how_it_was_made():
    told = (RESULTS / "README.md").read_text("utf-8")
    assert {path.name for path in RESULTS.iterdir()} - {"README.md"} <= set(
        re.findall(r"^\| `([^`]+)`", told, re.MULTILINE)
    )
