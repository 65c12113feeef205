"""Plugins given as classes: defined in a notebook, a script or a module, and passed to ``harness.run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.fingerprint import source_fingerprint
from ..errors import PluginError
from .entry import Entry
from .kinds import Kind


@dataclass(frozen=True, slots=True)
class PluginClass:
    """A class that no distribution registers. It travels to worker processes with its code."""

    cls: type
    digest: str
    """Fingerprint of its source."""

    @property
    def distribution(self) -> str:
        """What stands in tables for a distribution: the module that defines it."""
        return self.cls.__module__

    @property
    def version(self) -> str:
        """What stands in tables for a version."""
        return self.digest[:12]

    @property
    def name(self) -> str:
        """The name it is selected by."""
        return getattr(self.cls, "name", None) or self.cls.__name__

    def entries(self) -> list[Entry]:
        """What it is registered as."""
        kinds = [kind for kind in Kind if issubclass(self.cls, kind.base)]
        return [Entry(kind, self.name, self.cls, self.distribution, self.version) for kind in kinds]

    def __str__(self) -> str:
        return f"{self.cls.__module__}.{self.cls.__qualname__}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (_with_code(self.cls), self.digest)


def _with_code(cls: type) -> bytes:
    """A class for a worker, with its code where no worker could import its module."""
    import cloudpickle

    # That of a notebook or script is __main__, which cloudpickle knows; others may be loaded from anywhere.
    module, package = sys.modules.get(cls.__module__), cls.__module__.partition(".")[0]
    if module is None or any(finder.find_spec(package, None) for finder in sys.meta_path):
        return cloudpickle.dumps(cls)
    cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(cls)
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _rebuilt(content: bytes, digest: str) -> PluginClass:
    import pickle

    return PluginClass(pickle.loads(content), digest)


def split(given: Any, *kinds: Kind) -> tuple[Any, list[PluginClass]]:
    """Separate the classes of a list of names and classes: a list of names alone, and the classes.

    Raises PluginError for a class of none of these kinds, and for one whose source cannot be read.
    """
    if isinstance(given, type):
        given = [given]
    if isinstance(given, str) or not isinstance(given, Sequence):
        return given, []
    names: list[Any] = []
    classes = []
    for part in given:
        if isinstance(part, type):
            if not issubclass(part, tuple(kind.base for kind in kinds)):
                bases = " or ".join(f"harness.{kind.base.__name__}" for kind in kinds)
                what = f"{part.__module__}.{part.__qualname__}"
                raise PluginError(f"{what} is no {' or '.join(kinds)}: it must derive from {bases}.")
            cls: type = part
            classes.append(PluginClass(cls, source_fingerprint(cls)))
            part = classes[-1].name
        names.append(part)
    return names, classes
