"""Whole runs in about a second: the stub benchmark, a tiny model for it, and faults that tests switch on.

``World.run()`` runs the command line in this process; ``World.start()`` in a child that tests may kill.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.child import Child
from support.command import Ended, harness_cli
from support.paths import PACKAGES
from support.results import numbers
from support.saved import save_model
from support.site import install_package, on_path
from support.stub import GRID, SETTINGS


class World:
    """The stub, its model and its places, with the options that a run of it needs."""

    def __init__(self, site: Path, model: Path, cache: Path, folder: Path) -> None:
        self.site, self.model, self.cache, self.folder = site, model, cache, folder
        self.faults = folder / "faults"
        self.children: list[Child] = []

    def options(
        self,
        methods: str = GRID[0],
        attacks: str = GRID[1],
        benchmarks: str = GRID[2],
        *more: object,
        results: str = "results",
        seeds: int = 2,
        controls: bool = True,
    ) -> list[object]:
        """The arguments of a run, its settings brought down to the stub's size."""
        there = {*methods.replace("+", ",").split(","), *(a.split(":")[0] for a in attacks.split(","))}
        there |= {"refusal"} if controls else set()
        settings = [
            f"{plugin}.{name}={value}"
            for plugin in SETTINGS
            if plugin in there
            for name, value in SETTINGS[plugin].items()
        ]
        return [
            *("run", "--methods", methods, "--attacks", attacks, "--benchmarks", benchmarks),
            *("--model", self.model, "--cache", self.cache, "--results", self.folder / results),
            *("--seeds", seeds, "--controls" if controls else "--no-controls"),
            *(part for text in settings for part in ("--set", text)),
            *(() if "--jobs" in more else ("--jobs", 1)),
            *more,
        ]

    def run(self, *arguments: Any, **options: Any) -> Ended:
        """A run in this process."""
        return harness_cli(*self.options(*arguments, **options))

    def start(self, *arguments: Any, spawn: bool = False, **options: Any) -> Child:
        """A run in a child process."""
        child = Child(self.folder, *self.options(*arguments, **options), spawn=spawn)
        self.children.append(child)
        return child

    def path(self, results: str = "results") -> Path:
        """A results directory."""
        return self.folder / results

    def switch(self, fault: str, content: str = "") -> Path:
        """Switch a fault on; unlinking its file switches it off."""
        self.faults.mkdir(exist_ok=True)
        path = self.faults / fault
        path.write_text(content)
        return path


@pytest.fixture(scope="session")
def stub_places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The installed stub, its model, and a cache of targets that all tests share."""
    base = tmp_path_factory.mktemp("stub")
    site = install_package(base / "site", PACKAGES / "stub")
    return site, save_model(base / "model"), base / "cache"


@pytest.fixture
def world(
    stub_places: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The stub world with an empty directory for results."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("STUB_FAULTS", str(tmp_path / "faults"))
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with on_path(stub_places[0]):
        made = World(*stub_places, tmp_path)
        yield made
        for child in made.children:
            child.clean_up()


@pytest.fixture(scope="session")
def undisturbed(
    stub_places: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the grid gives in one process, one go, and without faults; with its folder and what it printed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with on_path(stub_places[0]):
        ended = World(*stub_places, folder).run()
    assert ended.code == 0, ended.err
    return {"folder": folder, "ended": ended, **numbers(folder / "results")}
