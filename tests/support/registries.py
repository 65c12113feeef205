"""Registries of plugins that do nothing."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from harness.core.base import Attack, Method
from harness.core.benchmark import Benchmark
from harness.core.config import Config
from harness.plugins.discovery import Plugins
from harness.plugins.entry import Entry
from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry


class Mine(Method):
    """Forgets by magic.

    The rest is the manual.
    """

    name = "mine"

    def unlearn(self, job): ...


class Probe(Attack):
    """Asks again."""

    name = "probe"
    variants: ClassVar = {"p=0.1": {"p": 0.1}, "p=0.5": {"p": 0.5}}

    class Config(Config):
        p: float = Field(0.2, gt=0)

    def attack(self, job): ...


def registry(*registered, kind="method"):
    """A registry of (name, target) or (kind, name, target, distribution)."""
    full = [r if len(r) == 4 else (kind, *r, "dist-a") for r in registered]
    return Registry(Plugins([Entry(Kind(of), *rest, "1.0") for of, *rest in full]))


def names(entries):
    return [entry.name for entry in entries]


class Abstract(Benchmark):
    """Implements nothing."""

    name = "mine"
