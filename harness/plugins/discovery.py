"""Find the installed plugins and ask each what it registers. One that breaks is recorded, the rest works.

A plugin is an entry point of the group ``unlearning_harness``. The built-in methods, attacks and benchmarks
are three of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import metadata
from typing import Any

import pluggy

from . import hookspecs

DISTRIBUTION = "unlearning-harness"


class Kind(StrEnum):
    """The kinds of plugins."""

    METHOD = "method"
    ATTACK = "attack"
    BENCHMARK = "benchmark"


HOOKS = {kind.value: f"register_{kind.value}s" for kind in Kind}
"""Each kind of plugin and the hook it comes in by."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What one call of ``register(name, target)`` said, and which distribution said it. Not checked yet."""

    kind: str
    name: Any
    target: Any
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin, or one name of it, that is left out, and why. ``error`` is one line."""

    name: str
    distribution: str
    version: str
    error: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version}): {self.error}"


@dataclass(slots=True)
class Plugins:
    """Everything that was registered, in a fixed order, and what was left out."""

    registrations: list[Registration] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)


def load_plugins(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Plugins:
    """Load ``entry_points`` (all installed ones by default), each by itself.

    The built-in plugins come first and the others by distribution and name, so that neither ``sys.path`` nor
    the order of installation decides who owns a name that two plugins want.
    """
    if entry_points is None:
        entry_points = metadata.entry_points(group=hookspecs.PROJECT)
    found = Plugins()
    for entry_point in sorted(entry_points, key=_order):
        distribution, version = _owner(entry_point)
        try:
            found.registrations += ask(entry_point.load(), entry_point.value, distribution, version)
        # SystemExit: a module that calls sys.exit when imported must not end the harness either.
        except (Exception, SystemExit) as error:
            found.broken.append(BrokenPlugin(entry_point.name, distribution, version, one_line(error)))
    return found


def one_line(error: BaseException) -> str:
    """The class and message of ``error`` on a single line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


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


def ask(plugin: Any, place: str, distribution: str, version: str) -> list[Registration]:
    """Check the hooks of one plugin and call them. A plugin counts as a whole or not at all."""
    manager = _managed(plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise pluggy.PluginValidationError(
            plugin,
            f"{place} has no hook: decorate at least one of "
            f"{', '.join(HOOKS.values())} with @harness.hookimpl",
        )
    registrations: list[Registration] = []
    for kind, hook in HOOKS.items():

        def register(name: str, target: str | type, kind: str = kind) -> None:
            registrations.append(Registration(kind, name, target, distribution, version))

        getattr(manager.hook, hook)(register=register)
    return registrations


def _owner(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    # An entry point made by hand, as tests do, belongs to no distribution.
    return (entry_point.dist.name, entry_point.dist.version) if entry_point.dist else ("unknown", "0")


def _order(entry_point: metadata.EntryPoint) -> tuple[bool, str, str]:
    distribution, _ = _owner(entry_point)
    return distribution != DISTRIBUTION, distribution, entry_point.name
