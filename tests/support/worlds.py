"""The stub world for scripts: set up once, with an empty directory for each case."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path

import torch

from harness.runner.process import LIBRARIES
from support.paths import PACKAGES
from support.saved import save_model
from support.site import install_package, on_path
from support.world import World

Make = Callable[[str], AbstractContextManager[World]]


@contextmanager
def worlds() -> Iterator[Make]:
    """``with make(name) as world``: an empty one, whose processes and files are gone afterwards."""
    torch.set_num_threads(1)
    for name in (*LIBRARIES, "harness.api"):  # once, before the cases are forked
        import_module(name)
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        site, model = install_package(base / "site", PACKAGES / "stub"), save_model(base / "model")

        @contextmanager
        def make(name: str) -> Iterator[World]:
            folder = base / name
            folder.mkdir()
            os.environ |= {"STUB_FAULTS": str(folder / "faults"), "HARNESS_TEST_LOG": str(folder / "log")}
            world = World(site, model, base / "cache", folder)
            try:
                yield world
            finally:
                for child in world.children:
                    child.clean_up()
                shutil.rmtree(folder)

        with on_path(site):
            yield make
