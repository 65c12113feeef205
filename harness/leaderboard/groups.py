"""Cells with their numbers, grouped by what they measure: once, for board, curves and comparison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.names import ANALYSIS, ATTACK, CONTROLS
from ..errors import ConfigError, StoreError, unknown
from ..store.decided import key_of
from ..store.store import UNSOUND, unsound
from . import arrays, invariants
from .arrays import one_of
from .identity import GroupId, MethodId, TargetId
from .reading import ALL, Cell, Measured, read
from .rows import Columns
from .versions import ANY, alike, one_code, together

NONE = "none"
"""The word that stands for no attack."""


class Seeds(dict[int, Cell]):
    """The cells that differ in nothing but their seed. Once they are asked, none is added."""

    signature: str | None = None
    """What identifies their row, once it was asked: many ask."""

    def ok(self) -> Seeds:
        """Those that worked, by seed."""
        return self if self._whole else self._worked

    @cached_property
    def _whole(self) -> bool:
        """Whether all worked, and come by seed."""
        return [*self] == sorted(self) and all(cell.ok for cell in self.values())

    @cached_property
    def _worked(self) -> Seeds:
        return Seeds({seed: self[seed] for seed in sorted(self) if self[seed].ok})

    @cached_property
    def _facts(self) -> dict[Measured, arrays.Sampled]:
        return {}

    @cached_property
    def _clusters(self) -> dict[str, arrays.Clusters]:
        return {}

    def failed(self) -> Seeds:
        """Those that failed, by seed."""
        return Seeds() if self._whole else Seeds({s: self[s] for s in sorted(self) if not self[s].ok})

    def targets(self) -> dict[int, str]:
        """The key of the very target that each seed ran on."""
        return self._targets

    @cached_property
    def _targets(self) -> dict[int, str]:
        return {seed: cell.row["target_key"] for seed, cell in self.items()}

    def first(self) -> Cell:
        """Any one of them, for what they have in common."""
        return next(iter(self.values()))

    def notes(self, name: str) -> list[Any]:
        """What the cells' notes say under a name, of those that say it."""
        return [cell.notes[name] for cell in self.values() if cell.notes.get(name) is not None]

    def note(self, name: str) -> Any:
        """What the first note of that name says, or None."""
        told = (cell.notes.get(name) for cell in self.values())
        return next((note for note in told if note is not None), None)

    def finals(self, measured: Measured) -> list[float]:
        """Final values of a metric, of the cells that have one."""
        return [value for cell in self.values() if (value := cell.value(measured)) is not None]

    def by_seed(self, measured: Measured) -> dict[int, float]:
        """The same, by seed."""
        values = {seed: cell.value(measured) for seed, cell in self.items()}
        return {seed: value for seed, value in values.items() if value is not None}

    def facts(self, measured: Measured) -> arrays.Sampled:
        """The values of each fact, of the cells that have them."""
        if measured not in self._facts:
            own = {seed: cell.facts[measured] for seed, cell in self.items() if measured in cell.facts}
            self._facts[measured] = arrays.Sampled(own)
        return self._facts[measured]

    def clusters(self, measured: Measured) -> arrays.Clusters:
        """What the facts of a split are grouped by: those of one subject are alike."""
        split, _ = measured
        if split not in self._clusters:
            each = [cell.clusters[split] for cell in self.values() if split in cell.clusters]
            self._clusters[split] = one_of(each)
        return self._clusters[split]


class Groups(dict[GroupId, Seeds]):
    """All cells, by what they measure. Once it is asked, nothing is added."""

    looked: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """By key, the rows of the cells of analyses, which are in no group."""

    @cached_property
    def _by_stage(self) -> Mapping[tuple[TargetId, str, str], Sequence[GroupId]]:
        """By target, stage and name of the method: whoever asks this asks it for each row."""
        found: dict[tuple[TargetId, str, str], list[GroupId]] = defaultdict(list)
        for which in self:
            found[which.target, which.stage, which.method.method].append(which)
        return found

    def named(self, target: TargetId, stage: str, method: str) -> Sequence[GroupId]:
        """What methods of that name did in a stage, with whatever settings."""
        return self._by_stage.get((target, stage, method), ())

    @cached_property
    def compared(self) -> dict[tuple[Any, ...], Any]:
        """What :func:`recovery.compared` has made: a row asks for it, and the method that the row is of."""
        return {}

    @cached_property
    def _controls(self) -> dict[tuple[Any, ...], Seeds]:
        return {}

    def of_stage(self, target: TargetId, method: MethodId, stage: str) -> Groups:
        """What a method's models did in a stage."""
        alike = self.named(target, stage, method.method)
        return Groups({which: self[which] for which in alike if which.method == method})

    def evaluation(self, target: TargetId, method: MethodId) -> Seeds:
        """The cells of a method's models before any attack."""
        return self.get(GroupId.before(target, method), Seeds())

    def control(self, which: GroupId, name: str) -> Seeds:
        """The same stage, and attack, of a control on the same targets: the cells that worked.

        A seed that ran on one of several targets is never held against another of them.
        """
        asked = which.target, which.stage, name, which.attack
        if asked not in self._controls:
            alike = self.named(which.target, which.stage, name)
            cells = (self[other].items() for other in alike if other.attack == which.attack)
            self._controls[asked] = Seeds(chain.from_iterable(cells)).ok()
        own, targets = self._controls[asked], self.get(which, Seeds()).targets()
        if own.targets() == targets:
            return own
        others = [seed for seed, key in own.targets().items() if targets.get(seed) not in (None, key)]
        return Seeds({s: own[s] for s in own if s not in others}) if others else own

    def only(self, methods: Sequence[str] = (ALL,), attacks: Sequence[str] = (ALL,)) -> Groups:
        """What was measured of these methods, and of them under these attacks (NAME or NAME:VARIANT).

        The controls stay: recovery is measured between them. So does what was measured before any attack.
        Raises ConfigError for a name that is in no cell.
        """
        under = {which.attack for which in self if which.stage == ATTACK}
        labels = {f"{attack.attack}:{attack.variant}" for attack in under if attack.variant}
        _check("method", methods, {which.method.method for which in self} | {ALL})
        _check("attack", attacks, {attack.attack for attack in under} | labels | {ALL, NONE})

        def kept(which: GroupId) -> bool:
            method, attack = which.method.method, which.attack
            names = {attack.attack, f"{attack.attack}:{attack.variant}", ALL}
            chosen = method in (*methods, *CONTROLS) or ALL in methods
            return chosen and (which.stage != ATTACK or not names.isdisjoint(attacks))

        chosen = Groups({which: seeds for which, seeds in self.items() if kept(which)})
        chosen.looked = self.looked
        return chosen


def _check(kind: str, names: Sequence[str], known: Collection[str]) -> None:
    """Raise ConfigError for a name that these results do not know, and for none at all."""
    if not names:
        raise ConfigError(f"No {kind} is named: give names separated by commas, or '{ALL}'.")
    for name in names:
        if name not in known:
            raise ConfigError(unknown(f"{kind} in these results named", name, known))


def grouped(cells: pa.Table, metrics: pa.Table, samples: pa.Table, sources: Sequence[str] = ()) -> Groups:
    """The cells of a store, in whatever order they come; those of analyses are in no group.

    Where versions of a code compete, ``sources`` are the beginnings of the digests to take. An unsound cell
    of which it is not certain what it is of is left out. Raises StoreError when there are no cells, where
    versions compete, or where the cells violate what must hold in any results.
    """
    looked: list[Mapping[str, Any]] = [*Columns(cells.filter(pc.equal(cells["stage"], ANALYSIS))).rows()]
    cells = cells.filter(pc.not_equal(cells["stage"], ANALYSIS))
    if not cells.num_rows:
        raise StoreError("There are no results yet; run `harness run` or point --results at its directory.")
    known = _known(Columns(cells).rows())
    if not known:
        name, message = unsound(cells)[0]
        raise StoreError(f"No cell of these results can be used; of the first, {name}, {message}")
    if ANY in sources:
        both = together([*known, *looked])
        found = alike(row for row in both if row["stage"] != ANALYSIS)
        looked = [row for row in both if row["stage"] == ANALYSIS]
    else:
        found = one_code(known, sources)
    invariants.check(found, metrics)
    groups = Groups()
    groups.looked = {row["key"]: row for row in looked}
    ordered = sorted(found, key=lambda which: str(found[which][0]["key"]))
    read_cells = iter(read([row for which in ordered for row in found[which]], metrics, samples))
    for which in ordered:
        by_seed = {row["seed"]: next(read_cells) for row in found[which]}
        groups[which] = Seeds({seed: by_seed[seed] for seed in sorted(by_seed)})
    return groups


def _known(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The sound cells, and those unsound ones that are certainly of what their row says.

    Their key must follow from the row. The names of the model and of the target's family are not in it: the
    sound cells of the target say them.
    """
    if not any(row["error_type"] == UNSOUND for row in rows):
        return list(rows)
    names: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in rows:
        if row["error_type"] != UNSOUND:
            names[row["target_key"]].add(_named(row))
    return [
        row
        for row in rows
        if row["error_type"] != UNSOUND
        or (key_of(row) == row["key"] and _named(row) in names.get(row["target_key"], {_named(row)}))
    ]


def _named(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a row says of its target that is not in its key."""
    return row["model"], row["target_family"]
