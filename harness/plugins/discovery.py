"""Find the installed plugins and ask each what it registers. One that breaks is recorded, the rest works.

A plugin is an entry point of the group ``unlearning_harness``. The built-in methods, modifiers, attacks,
benchmarks and analyses are five of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple

import pluggy

from ..errors import one_line
from . import hookspecs
from .entry import Entry
from .kinds import Kind

DISTRIBUTION = "unlearning-harness"


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin, or one name of it, that is left out, and why. ``error`` is one line."""

    name: str
    distribution: str
    version: str
    error: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version}): {self.error}"


class Plugins(NamedTuple):
    """Everything that was registered, in a fixed order and not checked yet, and what was left out."""

    entries: Sequence[Entry]
    broken: Sequence[BrokenPlugin] = ()


def load_plugins(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Plugins:
    """Load ``entry_points`` (all installed ones by default), each by itself.

    The built-in plugins come first and the others by distribution and name, so that neither ``sys.path`` nor
    the order of installation decides who owns a name that two plugins want.
    """
    if entry_points is None:
        entry_points = metadata.entry_points(group=hookspecs.PROJECT)
    entries: list[Entry] = []
    broken = []
    for entry_point in sorted(entry_points, key=_order):
        owner = _owner(entry_point)
        try:
            entries += registered(entry_point.load(), entry_point.value, *owner)
        # SystemExit: a module that calls sys.exit when imported must not end the harness either.
        except (Exception, SystemExit) as error:
            broken.append(BrokenPlugin(entry_point.name, *owner, one_line(error)))
    return Plugins(entries, broken)


def has_hook(plugin: Any) -> bool:
    """True for a module with a function that is marked as a hook, rightly or wrongly."""
    return bool(_managed(plugin).get_hookcallers(plugin))


def _managed(plugin: Any) -> pluggy.PluginManager:
    # A manager for each plugin: pluggy calls the hooks of a manager together, so the first to raise would
    # keep the others from being asked, and nothing would say whose registration is whose.
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    return manager


def registered(plugin: Any, path: str, distribution: str, version: str) -> list[Entry]:
    """Check the hooks of one plugin and call them. A plugin counts as a whole or not at all."""
    manager = _managed(plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        hooks = ", ".join(kind.hook for kind in Kind)
        raise pluggy.PluginValidationError(
            plugin, f"{path} has no hook: decorate at least one of {hooks} with @harness.hookimpl"
        )
    entries: list[Entry] = []
    for kind in Kind:

        def register(name: str, target: str | type, kind: Kind = kind) -> None:
            entries.append(Entry(kind, name, target, distribution, version))

        getattr(manager.hook, kind.hook)(register=register)
    return entries


def _owner(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    # An entry point made by hand, as tests do, belongs to no distribution.
    return (entry_point.dist.name, entry_point.dist.version) if entry_point.dist else ("unknown", "0")


def _order(entry_point: metadata.EntryPoint) -> tuple[bool, str, str]:
    distribution, _ = _owner(entry_point)
    return distribution != DISTRIBUTION, distribution, entry_point.name
