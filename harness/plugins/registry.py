"""What can be run, by name. Nothing is imported before it is used."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..core.base import Plugin
from ..errors import HarnessError, PluginError, gather, unknown
from .contract import violations
from .discovery import BrokenPlugin, Plugins, Registration, load_plugins, one_line

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
PATH = re.compile(r"[\w.]+:\w+")
RESERVED = {"method": {"all"}, "attack": {"all", "none"}, "benchmark": {"all"}}
"""Words of a selection. ``none`` is a method too (the control), but for attacks it means no attack."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered plugin: its name, where its class is, and which distribution it came from."""

    kind: str
    name: str
    target: str | type
    distribution: str
    version: str

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

    def load(self) -> type[Plugin]:
        """Import the class and return it.

        Raises PluginError naming everything in which it breaks the contract of its base class.
        """
        cls = self.load_unchecked()
        wrong = list(violations(cls, self.kind, self.name))
        if wrong:
            raise self._error("; ".join(wrong))
        return cls

    def summary(self) -> str:
        """The first line of the class's docstring, read from its source without importing the module."""
        if not isinstance(self.target, str):
            return _first_line(self.target.__doc__)
        module, _, name = self.target.partition(":")
        # A summary is a courtesy of a listing: whatever is wrong here, load() says it in full.
        try:
            spec = importlib.util.find_spec(module)
            tree = ast.parse(spec.loader.get_source(module)) if spec else None  # type: ignore[union-attr]
        except Exception as error:
            return f"(unreadable: {one_line(error)})"
        if tree is None:
            return f"(no module {module})"
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
        return _first_line(ast.get_docstring(classes[-1]) if classes else None)

    def load_unchecked(self) -> Any:
        """Import what was registered, whatever it is. Raises PluginError where it cannot be imported."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (Exception, SystemExit) as error:
            raise self._error(f"cannot be imported: {one_line(error)}") from error

    def _error(self, problem: str) -> PluginError:
        return PluginError(f"The {self.kind} '{self.name}' of {self.owner} ({self.path}) {problem}.")


@dataclass(frozen=True, slots=True)
class AttackChoice:
    """An attack of a selection, with all its variants (None) or with one."""

    entry: Entry
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be run, in the order it was asked for."""

    methods: list[Entry]
    attacks: list[AttackChoice]
    benchmarks: list[Entry]

    def entries(self) -> list[Entry]:
        """Every plugin of the selection, once."""
        attacks = [choice.entry for choice in self.attacks]
        return list(dict.fromkeys([*self.benchmarks, *self.methods, *attacks]))


class Registry:
    """The usable plugins by kind and name; ``broken`` holds what was left out and why.

    The first to register a name keeps it. A second one is reported in ``broken`` with both owners named.
    """

    def __init__(self, plugins: Plugins | None = None, more: Iterable[Registration] = ()) -> None:
        plugins = load_plugins() if plugins is None else plugins
        self.broken = list(plugins.broken)
        self.methods: dict[str, Entry] = {}
        self.attacks: dict[str, Entry] = {}
        self.benchmarks: dict[str, Entry] = {}
        self.kinds = {"method": self.methods, "attack": self.attacks, "benchmark": self.benchmarks}
        for registration in [*plugins.registrations, *more]:
            self._add(registration)

    def _add(self, new: Registration) -> None:
        entries = self.kinds[new.kind]
        problem = _refusal(new, entries)
        if problem:
            self.broken.append(BrokenPlugin(str(new.name), new.distribution, new.version, problem))
        else:
            entries[new.name] = Entry(new.kind, new.name, new.target, new.distribution, new.version)

    def method(self, name: str) -> Entry:
        """The method of that name. Raises HarnessError with the nearest name."""
        return self._get("method", name)

    def attack(self, name: str) -> Entry:
        """The attack of that name. Raises HarnessError with the nearest name."""
        return self._get("attack", name)

    def benchmark(self, name: str) -> Entry:
        """The benchmark of that name. Raises HarnessError with the nearest name."""
        return self._get("benchmark", name)

    def named(self, name: str) -> list[Entry]:
        """Everything of that name, whatever its kind. Raises HarnessError with the nearest name."""
        found = [entries[name] for entries in self.kinds.values() if name in entries]
        if not found:
            everything = {known for entries in self.kinds.values() for known in entries}
            raise HarnessError(unknown("plugin", name, everything))
        return found

    def select(self, methods: str, attacks: str, benchmarks: str) -> Selection:
        """Resolve all three selections. Raises one HarnessError with everything that is wrong in them."""
        parts: list[tuple[Callable[[str], Any], str]] = [
            (self.select_methods, methods),
            (self.select_attacks, attacks),
            (self.select_benchmarks, benchmarks),
        ]
        return Selection(*gather(lambda part: part[0](part[1]), parts))

    def select_methods(self, text: str) -> list[Entry]:
        """The methods of ``"a,b"`` or ``"all"``, each once."""
        return self._select("method", text)

    def select_benchmarks(self, text: str) -> list[Entry]:
        """The benchmarks of ``"a,b"`` or ``"all"``, each once."""
        return self._select("benchmark", text)

    def select_attacks(self, text: str) -> list[AttackChoice]:
        """The attacks of ``"a,b:variant"``, ``"all"`` or ``"none"``, each once.

        ``a:variant`` is one variant of an attack; ``a`` is all of them, and then ``a:variant`` adds nothing.
        """
        names = _split("attack", text)
        if names == ["none"]:
            return []
        if "none" in names:
            raise HarnessError(f"'none' means no attack and stands alone, unlike in '{text}'.")
        choices = gather(self._attack_choice, [name for name in names if name != "all"])
        if "all" in names:
            return [AttackChoice(entry) for entry in self.attacks.values()]
        whole = {choice.entry for choice in choices if choice.variant is None}
        return [choice for choice in choices if choice.variant is None or choice.entry not in whole]

    def _attack_choice(self, text: str) -> AttackChoice:
        name, colon, variant = text.partition(":")
        entry = self.attack(name)
        if not colon:
            return AttackChoice(entry)
        variants = entry.load().variants  # type: ignore[attr-defined]
        if variant not in variants:
            raise HarnessError(unknown(f"variant of attack '{name}' named", variant, variants))
        return AttackChoice(entry, variant)

    def _select(self, kind: str, text: str) -> list[Entry]:
        names = _split(kind, text)
        entries = gather(lambda name: self._get(kind, name), [name for name in names if name != "all"])
        return list(self.kinds[kind].values()) if "all" in names else entries

    def _get(self, kind: str, name: str) -> Entry:
        entries = self.kinds[kind]
        if name not in entries:
            raise HarnessError(unknown(kind, name, entries))
        return entries[name]


def _refusal(new: Registration, taken: dict[str, Entry]) -> str | None:
    """Why a registration is left out, or None."""
    if not (isinstance(new.name, str) and NAME.fullmatch(new.name)):
        return f"{new.name!r} is no name for a {new.kind}: use small letters, digits, hyphens and underscores"
    if new.name in RESERVED[new.kind]:
        return f"'{new.name}' is a word of the command line and no name for a {new.kind}"
    if not isinstance(new.target, type) and not (isinstance(new.target, str) and PATH.fullmatch(new.target)):
        return f"the {new.kind} '{new.name}' must be a class or 'module:Class', not {new.target!r}"
    if new.name in taken:
        return (
            f"the {new.kind} '{new.name}' is already registered by {taken[new.name].owner}, "
            f"so the one of {new.distribution} {new.version} is left out"
        )
    return None


def _split(kind: str, text: str) -> list[str]:
    """The names of a comma list, each once; a comma too many does no harm, no name at all does."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise HarnessError(f"No {kind} is named in '{text}': give names separated by commas, or 'all'.")
    return names


def _first_line(docstring: str | None) -> str:
    lines = (docstring or "").strip().splitlines()
    return lines[0] if lines else "(no docstring)"
