"""Identities of a target, a method and an attack: the columns of ``cells`` that say what was measured.

The digests of the code are among them: a row never holds numbers of two codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Self

from ..core.names import EVALUATION, NO_ATTACK


class Settings(NamedTuple):
    """Where a plugin comes from, and its resolved settings: what may differ between rows of one name."""

    plugin: str
    config: str


class TargetId(NamedTuple):
    """A benchmark and the model that unlearns on it: all that were trained independently by one recipe."""

    benchmark: str
    benchmark_plugin: str
    benchmark_config: str
    data_fingerprint: str
    model: str
    target_family: str
    dtype: str
    engine: str
    benchmark_source: str

    @classmethod
    def of(cls, cell: Mapping[str, Any]) -> Self:
        """The identity in a row of ``cells``."""
        return cls(*(cell[name] for name in cls._fields))

    @property
    def settings(self) -> Settings:
        """Of the benchmark."""
        return Settings(self.benchmark_plugin, self.benchmark_config)


class MethodId(NamedTuple):
    """An unlearning method with its settings."""

    method: str
    method_plugin: str
    method_config: str
    method_source: str

    @classmethod
    def of(cls, cell: Mapping[str, Any]) -> Self:
        """The identity in a row of ``cells``."""
        return cls(*(cell[name] for name in cls._fields))

    @property
    def settings(self) -> Settings:
        """Of the method."""
        return Settings(self.method_plugin, self.method_config)


class AttackId(NamedTuple):
    """An attack with its settings; before any attack, of the stage that the cell is."""

    attack: str
    variant: str
    attack_plugin: str
    attack_config: str
    attack_source: str

    @classmethod
    def of(cls, cell: Mapping[str, Any]) -> Self:
        """The identity in a row of ``cells``."""
        return cls(*(cell[name] for name in cls._fields))

    @property
    def settings(self) -> Settings:
        """Of the attack."""
        return Settings(self.attack_plugin, self.attack_config)


BEFORE = AttackId(NO_ATTACK, "", "", "{}", "")
"""Of the cells before any attack."""


class GroupId(NamedTuple):
    """What cells that differ in nothing but their seed have in common."""

    target: TargetId
    method: MethodId
    stage: str
    attack: AttackId

    @classmethod
    def of(cls, cell: Mapping[str, Any]) -> Self:
        """The identity in a row of ``cells``."""
        return cls.made(tuple(cell[name] for name in COLUMNS))

    @classmethod
    @lru_cache(1 << 16)
    def made(cls, values: tuple[str, ...]) -> Self:
        """The identity of the values of ``COLUMNS``; one object for equal ones."""
        cell = dict(zip(COLUMNS, values, strict=True))
        return cls(TargetId.of(cell), MethodId.of(cell), cell["stage"], AttackId.of(cell))

    @classmethod
    def before(cls, target: TargetId, method: MethodId) -> Self:
        """Of a method's models before any attack."""
        return cls(target, method, EVALUATION, BEFORE)


COLUMNS = (*TargetId._fields, *MethodId._fields, "stage", *AttackId._fields)
"""Columns of ``cells`` that are a :class:`GroupId`."""
