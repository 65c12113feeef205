"""Plugins in a single file, given with ``--plugin``: loaded by path, here and in worker processes.

A file needs no hook: every class in it that derives from Method, Modifier, Attack, Benchmark or Analysis
and has a ``name`` of its own is registered. A file with a ``register_*`` hook registers what that says.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from ..core.keys import file_digest
from ..errors import PluginError, one_line
from .discovery import has_hook, registered
from .entry import Entry
from .kinds import Kind


@dataclass(frozen=True, slots=True)
class PluginFile:
    """A file as it was when the command began. In tables its name stands for the distribution."""

    path: Path
    digest: str
    """SHA-256 of its content."""

    @property
    def distribution(self) -> str:
        """What stands in tables for a distribution."""
        return self.path.name

    @property
    def version(self) -> str:
        """What stands in tables for a version."""
        return self.digest[:12]

    def entries(self) -> list[Entry]:
        """What the file registers. Raises PluginError with the reason where it cannot."""
        try:
            module = _load(self)
            owner = (self.distribution, self.version)
            hooked = has_hook(module)
            entries = registered(module, self.path.name, *owner) if hooked else list(_classes(module, *owner))
        except PluginError:
            raise
        # SystemExit: a file that calls sys.exit when loaded is the user's to mend, as any error in it.
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self.path}: {one_line(error)}.") from error
        if not entries:
            raise PluginError(
                f"{self.path}: it holds no plugin: define a class with a `name` that derives from "
                "Method, Modifier, Attack, Benchmark or Analysis of harness."
            )
        return entries

    def __str__(self) -> str:
        return str(self.path)


def read(paths: Iterable[Path] | None) -> tuple[PluginFile, ...]:
    """Each file once. Raises PluginError for what is no Python file."""
    files = {}
    for path in paths or ():
        if path.is_dir():
            raise PluginError(f"{path}: a directory is installed (pip install -e {path}); give a file.")
        if path.suffix != ".py" or not path.is_file():
            raise PluginError(f"{path}: there is no such Python file.")
        files[path.resolve()] = PluginFile(path.resolve(), file_digest(path))
    return tuple(files.values())


@lru_cache
def _load(file: PluginFile) -> ModuleType:
    """The module, under a name of its own: two files may be called alike, and none hides another module."""
    content = file.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != file.digest:
        raise PluginError(f"{file.path} was changed after this run began: run again, with the file as it is.")
    name = f"{re.sub(r'[^0-9a-zA-Z]', '_', file.path.stem)}_{file.version}"
    spec = importlib.util.spec_from_file_location(name, file.path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # What was read is what runs: the import system might take an older version from its cache.
        exec(compile(content, str(file.path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _classes(module: ModuleType, distribution: str, version: str) -> Iterable[Entry]:
    for cls in vars(module).values():
        if isinstance(cls, type) and cls.__module__ == module.__name__ and "name" in vars(cls):
            for kind in Kind:
                if issubclass(cls, kind.base):
                    yield Entry(kind, vars(cls)["name"], cls, distribution, version)
