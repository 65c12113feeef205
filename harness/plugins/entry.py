"""A registered plugin: its name, where its class is, and which distribution it came from."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from dataclasses import dataclass
from typing import Any

from ..core.benchmark import Plugin
from ..errors import PluginError, one_line
from .contract import violations
from .kinds import Kind

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
NAME_RULE = "use small letters, digits, hyphens and underscores"
PATH = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one call of ``register(name, target)`` said, and which distribution said it.

    The registry holds only entries that :meth:`problem` has nothing against.
    """

    kind: Kind
    name: str
    target: str | type
    """The class, or where it is as ``module:Class``."""
    distribution: str
    version: str

    @property
    def parts(self) -> tuple[Entry, ...]:
        """The plugins whose settings are its own: itself, and of a composition all that it is made of."""
        return (self,)

    @property
    def path(self) -> str:
        """Where the class is, as ``module:Class``."""
        if isinstance(self.target, str):
            return self.target
        return f"{self.target.__module__}:{self.target.__qualname__}"

    @property
    def owner(self) -> str:
        """The distribution and its version, for people."""
        return f"{self.distribution} {self.version}"

    def problem(self) -> str | None:
        """Why the name or the target cannot be registered; None where they can."""
        name, target = self.name, self.target
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            return (
                f"{name!r} is no name for a {self.kind}: use small letters, digits, hyphens and underscores"
            )
        if name in self.kind.reserved:
            return f"'{name}' is a word of the command line and no name for a {self.kind}"
        if not isinstance(target, type) and not (isinstance(target, str) and PATH.fullmatch(target)):
            return f"the {self.kind} '{name}' must be a class or 'module:Class', not {target!r}"
        return None

    def load(self) -> type[Plugin]:
        """Import the class and return it.

        Raises PluginError naming everything in which it breaks the contract of its base class.
        """
        cls = self.load_unchecked()
        wrong = list(violations(cls, self.kind, self.name))
        if wrong:
            raise self._error("; ".join(wrong))
        return cls

    def load_unchecked(self) -> Any:
        """Import what was registered, whatever it is. Raises PluginError where it cannot be imported."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (Exception, SystemExit) as error:
            raise self._error(f"cannot be imported: {one_line(error)}") from error

    def summary(self) -> str:
        """The first line of the class's docstring, read from its source without importing the module."""
        if not isinstance(self.target, str):
            return _first_line(self.target.__doc__)
        module, _, name = self.target.partition(":")
        try:
            spec = importlib.util.find_spec(module)
            tree = ast.parse(spec.loader.get_source(module)) if spec else None  # type: ignore[union-attr]
        except Exception as error:  # a listing goes on; load() says in full what is wrong
            return f"(unreadable: {one_line(error)})"
        if tree is None:
            return f"(no module {module})"
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
        return _first_line(ast.get_docstring(classes[-1]) if classes else None)

    def _error(self, problem: str) -> PluginError:
        return PluginError(f"The {self.kind} '{self.name}' of {self.owner} ({self.path}) {problem}.")


def _first_line(docstring: str | None) -> str:
    lines = (docstring or "").strip().splitlines()
    return lines[0] if lines else "(no docstring)"
