"""Cells with their numbers, grouped by what they measure: once, for board, curves and comparison."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.names import ANALYSIS, ATTACK, CONTROLS
from ..errors import ConfigError, StoreError, unknown
from ..store.decided import key_of
from ..store.store import UNSOUND, unsound
from . import delta, invariants, stats
from .identity import GroupId, MethodId, TargetId
from .versions import one_code, started_at

ALL, NONE = "all", "none"
"""Words that stand for every name, and for no attack."""

FORGET = "forget"
"""The split whose facts, and points of curves, the leaderboard reads; of others the retain metric's."""

RETAIN = "retain"
"""The split that methods train to keep."""

Measured = tuple[str, str]
"""Split and metric."""


@dataclass(slots=True)
class Cell:
    """A row of ``cells`` with its JSON read, and with its rows of ``metrics`` and ``samples``."""

    row: dict[str, Any]
    notes: dict[str, Any]
    started_at: str
    finals: dict[Measured, dict[str, Any]] = field(default_factory=dict)
    """Rows of ``metrics`` without a step."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """Rows of ``metrics`` with a step, of the forget set."""
    facts: dict[Measured, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """The values of each fact, by its id: of the forget set, and of what says what a method kept.

    Of an aggregate it is what a fact says of it (:mod:`.delta`).
    """
    clusters: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """By split, what each of these facts is grouped by."""
    answers: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """By metric, what the model wrote about each forget fact, where the metric looks at one text."""

    @property
    def ok(self) -> bool:
        """Whether it worked."""
        return bool(self.row["status"] == "ok")

    @property
    def error(self) -> str:
        """Class and message of the error of a cell that failed."""
        return f"{self.row['error_type']}: {self.row['error_message']}"

    def value(self, measured: Measured) -> float | None:
        """The final value of a metric, or None."""
        final = self.finals.get(measured)
        return None if final is None else final["value"]


class Seeds(dict[int, Cell]):
    """The cells that differ in nothing but their seed."""

    def ok(self) -> Seeds:
        """Those that worked, by seed."""
        return Seeds({seed: self[seed] for seed in sorted(self) if self[seed].ok})

    def failed(self) -> Seeds:
        """Those that failed, by seed."""
        return Seeds({seed: self[seed] for seed in sorted(self) if not self[seed].ok})

    def targets(self) -> dict[int, str]:
        """The key of the very target that each seed ran on."""
        return {seed: cell.row["target_key"] for seed, cell in self.items()}

    def first(self) -> Cell:
        """Any one of them, for what they have in common."""
        return next(iter(self.values()))

    def notes(self, name: str) -> list[Any]:
        """What the cells' notes say under a name, of those that say it."""
        return [cell.notes[name] for cell in self.values() if cell.notes.get(name) is not None]

    def note(self, name: str) -> Any:
        """What the first note of that name says, or None."""
        return next(iter(self.notes(name)), None)

    def finals(self, measured: Measured) -> list[float]:
        """Final values of a metric, of the cells that have one."""
        return [value for cell in self.values() if (value := cell.value(measured)) is not None]

    def by_seed(self, measured: Measured) -> dict[int, float]:
        """The same, by seed."""
        values = {seed: cell.value(measured) for seed, cell in self.items()}
        return {seed: value for seed, value in values.items() if value is not None}

    def facts(self, measured: Measured) -> stats.BySeed:
        """The values of each fact, of the cells that have them."""
        return {seed: cell.facts[measured] for seed, cell in self.items() if measured in cell.facts}

    def clusters(self, measured: Measured) -> stats.Clusters:
        """What the facts of a split are grouped by: those of one subject are alike."""
        split, _ = measured
        return {fact: own for cell in self.values() for fact, own in cell.clusters.get(split, {}).items()}


class Groups(dict[GroupId, Seeds]):
    """All cells, by what they measure. Once it is asked, nothing is added."""

    @cached_property
    def _by_stage(self) -> Mapping[tuple[TargetId, str, str], Sequence[GroupId]]:
        """By target, stage and name of the method: whoever asks this asks it for each row."""
        found: dict[tuple[TargetId, str, str], list[GroupId]] = defaultdict(list)
        for which in self:
            found[which.target, which.stage, which.method.method].append(which)
        return found

    def of_stage(self, target: TargetId, method: MethodId, stage: str) -> Groups:
        """What a method's models did in a stage."""
        alike = self._by_stage.get((target, stage, method.method), ())
        return Groups({which: self[which] for which in alike if which.method == method})

    def evaluation(self, target: TargetId, method: MethodId) -> Seeds:
        """The cells of a method's models before any attack."""
        return self.get(GroupId.before(target, method), Seeds())

    def control(self, which: GroupId, name: str) -> Seeds:
        """The same stage, and attack, of a control on the same targets: the cells that worked.

        A seed that ran on one of several targets is never held against another of them.
        """
        targets, seeds = self.get(which, Seeds()).targets(), Seeds()
        for other in self._by_stage.get((which.target, which.stage, name), ()):
            if other.attack == which.attack:
                seeds |= self[other]
        own = seeds.ok()
        return Seeds({s: own[s] for s in own if targets.get(s) in (None, own[s].row["target_key"])})

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

        return Groups({which: seeds for which, seeds in self.items() if kept(which)})


def _check(kind: str, names: Sequence[str], known: Collection[str]) -> None:
    """Raise ConfigError for a name that these results do not know, and for none at all."""
    if not names:
        raise ConfigError(f"No {kind} is named: give names separated by commas, or '{ALL}'.")
    for name in names:
        if name not in known:
            raise ConfigError(unknown(f"{kind} in these results named", name, known))


def grouped(cells: pa.Table, metrics: pa.Table, samples: pa.Table, sources: Sequence[str] = ()) -> Groups:
    """The cells of a store, in whatever order they come; what analyses found is on no board.

    Where versions of a code compete, ``sources`` are the beginnings of the digests to take. An unsound cell
    of which it is not certain what it is of is left out. Raises StoreError when there are no cells, where
    versions compete, or where the cells violate what must hold in any results.
    """
    cells = cells.filter(pc.not_equal(cells["stage"], ANALYSIS))
    if not cells.num_rows:
        raise StoreError("There are no results yet; run `harness run` or point --results at its directory.")
    known = _known(cells.to_pylist())
    if not known:
        name, message = unsound(cells)[0]
        raise StoreError(f"No cell of these results can be used; of the first, {name}, {message}")
    rows = one_code(known, sources)
    invariants.check(rows, metrics)
    groups = Groups()
    for cell in sorted(read(rows, metrics, samples), key=lambda cell: cell.row["key"]):
        groups.setdefault(GroupId.of(cell.row), Seeds())[cell.row["seed"]] = cell
    return groups


def _known(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sound cells, and those unsound ones that are certainly of what their row says.

    Their key must follow from the row. The names of the model and of the target's family are not in it: the
    sound cells of the target say them.
    """
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


def _named(row: dict[str, Any]) -> tuple[str, ...]:
    """What a row says of its target that is not in its key."""
    return row["model"], row["target_family"]


def read(rows: Sequence[dict[str, Any]], metrics: pa.Table, samples: pa.Table) -> list[Cell]:
    """Each cell with its final values, its curve, and the values of its facts."""
    by_key = {}
    for row in rows:
        by_key[row["key"]] = Cell(row, json.loads(row["notes"]), started_at(row))
    finals = pc.is_null(metrics["step"])
    for metric in metrics.filter(pc.or_(finals, pc.equal(metrics["split"], FORGET))).to_pylist():
        if (cell := by_key.get(metric["key"])) is None:
            continue
        if metric["step"] is None:
            cell.finals[metric["split"], metric["metric"]] = metric
        else:
            cell.curve.append(metric)
    _add_facts(by_key, samples)
    return list(by_key.values())


def _add_facts(by_key: Mapping[str, Cell], samples: pa.Table) -> None:
    """Give each cell the values of its forget facts, and of those by which it is seen what a method keeps."""
    kept = {tuple(pair) for cell in by_key.values() if (pair := cell.notes.get("retain_metric"))}
    slopes = {key: delta.slopes(cell.notes) for key, cell in by_key.items()}
    parts = {key: {part for slope in own.values() for part in slope} for key, own in slopes.items()}
    splits = {FORGET, *(split for of in (kept, *parts.values()) for split, _ in of)}
    samples = samples.filter(pc.is_in(samples["split"], pa.array(sorted(splits))))
    names = ("key", "split", "metric", "fact_id", "value", "cluster", "answer")
    # Columns and not rows: there may be a million.
    columns = [column.to_pylist() for column in samples.select(names).columns]
    for key, split, metric, fact, value, cluster, answer in zip(*columns, strict=True):
        if (cell := by_key.get(key)) is None:
            continue
        if answer is not None and split == FORGET:
            cell.answers[metric][fact] = answer
        if split == FORGET or (split, metric) in kept or (split, metric) in parts[key]:
            cell.facts[split, metric][fact] = value
            cell.clusters[split][fact] = cluster or fact
    for key, cell in by_key.items():
        for aggregate, slope in slopes[key].items():
            total = cell.value((ALL, aggregate))
            if total is not None and (says := delta.of_facts(total, slope, cell.facts)):
                cell.facts[ALL, aggregate] = {"/".join(fact): value for fact, value in says.items()}
                cell.clusters[ALL] |= {"/".join(fact): cell.clusters[fact[0]][fact[1]] for fact in says}
