"""Plugins installed in a directory of their own, where this process and its workers find them."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path


def install(place: Path, source: str, module: str, version: str = "1.0") -> Path:
    """Put a distribution with one module and one entry point into ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{module}.py").write_text(source)
    _describe(place, module, version, {module: module})
    return place


def install_package(place: Path, package: Path) -> Path:
    """Put a package with a ``src`` directory into ``place``: what pip would, without the seconds it takes."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    shutil.copytree(package / "src", place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    _describe(place, project["name"], project["version"], project["entry-points"]["unlearning_harness"])
    return place


def _describe(place: Path, name: str, version: str, entry_points: dict[str, str]) -> None:
    info = place / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = ["[unlearning_harness]", *(f"{entry} = {module}" for entry, module in entry_points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@contextlib.contextmanager
def on_path(site: Path) -> Iterator[None]:
    """Have this process and its children find what is installed in ``site``, and forget it afterwards."""
    before = os.environ.get("PYTHONPATH")
    sys.path.insert(0, str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), before]))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
        installed = {path.stem for path in site.iterdir()}
        for name in [name for name in sys.modules if name.partition(".")[0] in installed]:
            del sys.modules[name]
        importlib.invalidate_caches()
