"""What is built and installed is the package with its plugins, and nothing that only the checkout has."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parents[1]
FOLDERS = {
    "harness": "harness",
    "harness/testing": "harness/testing",
    "harness/methods": "methods",
    "harness/attacks": "attacks",
    "harness/benchmarks": "benchmarks",
}
"""Packages in the wheel, and where they lie in the checkout."""
TEMPLATES = ROOT / "harness" / "templates"

pytestmark = [
    pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="no checkout to build from"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("build", "setuptools", "pip")),
        reason="build, setuptools or pip is not installed",
    ),
]


def python(*arguments, **options):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the tracked files: setuptools leaves folders in the place it builds."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    for folder in FOLDERS.values():
        for file in (ROOT / folder).glob("*.py*"):
            if file.is_file():
                (source / folder).mkdir(parents=True, exist_ok=True)
                (source / folder / file.name).write_bytes(file.read_bytes())
    (source / "harness" / "py.typed").touch()
    shutil.copytree(TEMPLATES, source / "harness" / "templates")
    for name in ("pyproject.toml", "README.md"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for stray in ("tests", "docs"):
        (source / stray).mkdir()
        (source / stray / "__init__.py").touch()
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", base / "dist", source)
    [built] = (base / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with nothing but the wheel installed."""
    place = tmp_path_factory.mktemp("installed") / "site"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", place, wheel)
    return place


@pytest.fixture
def installed(site, tmp_path):
    """Run Python with the installed package before the checkout's, in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "80"}
    return lambda *arguments: python(*arguments, cwd=tmp_path, env=environment)


def test_the_wheel_holds_the_packages_and_templates_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    expected = {
        f"{package}/{file.name}"
        for package, folder in FOLDERS.items()
        for file in (ROOT / folder).iterdir()
        if file.suffix == ".py"
    }
    templates = {f"harness/templates/{file.name}" for file in TEMPLATES.iterdir()}
    assert set(names) == expected | templates | {"harness/py.typed"}


def test_the_installed_package_is_the_one_that_runs(installed, site):
    printed = installed(
        "-c", "import harness, harness.methods as m; print(harness.__file__); print(m.__file__)"
    )
    assert [Path(line).is_relative_to(site) for line in printed.splitlines()] == [True, True]


def test_the_command_lists_every_plugin_and_none_is_broken(installed, site):
    [script] = (site / "bin").glob("harness")
    printed = installed(script, "list")
    for name in (
        *("none", "retrain", "refusal", "ga", "gd", "npo", "ssiuu"),
        *("private-data", "instruction"),
        *("faithun", "faithun-mini", "tofu", "tofu-mini"),
    ):
        assert f" {name} " in printed
    assert "unreadable" not in printed
    assert "no module" not in printed


def test_the_installed_command_writes_a_package(installed, site, tmp_path):
    [script] = (site / "bin").glob("harness")
    installed(script, "new", "method", "mine")
    assert (tmp_path / "mine" / "src" / "mine" / "method.py").is_file()


def test_every_plugin_of_the_installed_package_can_be_loaded(installed):
    printed = installed(
        "-c",
        "from harness.plugins.registry import Registry\n"
        "registry = Registry()\n"
        "entries = [entry for kind in registry.kinds.values() for entry in kind.values()]\n"
        "print([str(broken) for broken in registry.broken], all(entry.load() for entry in entries))\n",
    )
    assert printed.strip() == "[] True"
