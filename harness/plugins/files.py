"""Plugins in a single file, given with ``--plugin``: loaded by path, here and in worker processes.

A file needs no hook: every class in it that derives from Method, Attack or Benchmark and has a ``name`` of
its own is registered. A file with a ``register_*`` hook registers what that says.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from ..errors import PluginError
from .contract import BASES
from .discovery import Registration, ask, has_hook, one_line
from .registry import Registry


@dataclass(frozen=True, slots=True)
class PluginFile:
    """A file as it was when the command began. In tables its name stands for the distribution."""

    path: Path
    digest: str
    """SHA-256 of its content."""

    @property
    def version(self) -> str:
        """What stands in tables for a version."""
        return self.digest[:12]


def read(paths: Iterable[Path] | None) -> tuple[PluginFile, ...]:
    """Each file once. Raises PluginError for what is no Python file."""
    files = {}
    for path in paths or ():
        if path.is_dir():
            raise PluginError(f"{path}: a directory is installed (pip install -e {path}); give a file.")
        if path.suffix != ".py" or not path.is_file():
            raise PluginError(f"{path}: there is no such Python file.")
        files[path.resolve()] = PluginFile(path.resolve(), hashlib.sha256(path.read_bytes()).hexdigest())
    return tuple(files.values())


def registry(files: Sequence[PluginFile] = ()) -> Registry:
    """The installed plugins and those of ``files``.

    Raises PluginError for a file that cannot be loaded, holds no plugin, or takes a name that is taken:
    unlike an installed plugin it was asked for, so leaving it out would not do.
    """
    found = Registry(more=[registration for file in files for registration in registrations(file)])
    names = {file.path.name: file.path for file in files}
    for broken in found.broken:
        if broken.distribution in names:
            raise PluginError(f"{names[broken.distribution]}: {broken.error}.")
    return found


def registrations(file: PluginFile) -> list[Registration]:
    """What a file registers. Raises PluginError with the reason where it cannot."""
    try:
        module = _load(file)
        owner = (file.path.name, file.version)
        found = ask(module, file.path.name, *owner) if has_hook(module) else list(_classes(module, owner))
    except PluginError:
        raise
    # SystemExit: a file that calls sys.exit when loaded is the user's to mend, like any other error in it.
    except (Exception, SystemExit) as error:
        raise PluginError(f"{file.path}: {one_line(error)}.") from error
    if not found:
        raise PluginError(
            f"{file.path}: it holds no plugin: define a class with a `name` that derives from "
            "Method, Attack or Benchmark of harness."
        )
    return found


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


def _classes(module: ModuleType, owner: tuple[str, str]) -> Iterable[Registration]:
    for cls in vars(module).values():
        if isinstance(cls, type) and cls.__module__ == module.__name__ and "name" in vars(cls):
            for kind, base in BASES.items():
                if issubclass(cls, base):
                    yield Registration(kind, vars(cls)["name"], cls, *owner)
