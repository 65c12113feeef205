"""Cells as the leaderboard reads them: with what they measured, grouped by what they measure."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..store.schema import ATTACK, METHOD, TARGET
from . import stats

Cell = dict[str, Any]
"""A row of ``cells`` with its JSON read, ``finals`` by split and metric, and ``facts``: those by fact id."""


class Seeds(dict[int, Cell]):
    """The cells that differ in nothing but their seed."""

    def ok(self) -> Seeds:
        """Those that worked, by seed."""
        return Seeds({seed: self[seed] for seed in sorted(self) if self[seed]["status"] == "ok"})

    def notes(self, name: str) -> list[Any]:
        """What the cells' notes say, of those that say it."""
        return [c["notes"][name] for c in self.values() if c["notes"].get(name) is not None]

    def note(self, name: str) -> Any:
        """What the first note of that name says, or None."""
        return next(iter(self.notes(name)), None)

    def finals(self, which: tuple) -> list[float]:
        """Final values of (split, metric), of the cells that have one."""
        found = (c["finals"].get(which, {}).get("value") for c in self.values())
        return [value for value in found if value is not None]

    def facts(self, which: tuple) -> stats.BySeed:
        """The values of each fact, of the cells that have them."""
        return {seed: c["facts"][which] for seed, c in self.items() if which in c["facts"]}


Groups = dict[tuple[tuple, tuple, tuple], Seeds]
"""By what identifies target, method and attack."""


def grouped(cells: pa.Table, metrics: pa.Table, samples: pa.Table) -> Groups:
    """All cells. Of two that differ in nothing but their code the one that was started later counts."""
    found = cells.sort_by("key").to_pylist()
    _attach(found, metrics, samples)
    groups: Groups = defaultdict(Seeds)
    for cell in sorted(found, key=lambda c: (c["provenance"].get("started_at") or "", c["key"])):
        groups[identity(cell, TARGET), identity(cell, METHOD), identity(cell, ATTACK)][cell["seed"]] = cell
    return groups


def before(groups: Groups, target: tuple, method: tuple) -> Seeds:
    """The cells of a method's model before any attack."""
    return next((s for (t, m, a), s in groups.items() if (t, m, a[0]) == (target, method, "none")), Seeds())


def _attach(cells: list[Cell], metrics: pa.Table, samples: pa.Table) -> None:
    """Read the JSON columns, and give each cell its final values and those of each forget fact."""
    by_key = {cell["key"]: cell for cell in cells}
    for cell in cells:
        cell["notes"], cell["provenance"] = json.loads(cell["notes"]), json.loads(cell["provenance"])
        cell["finals"], cell["facts"] = {}, defaultdict(dict)
    for m in metrics.filter(pc.is_null(metrics["step"])).to_pylist():
        if m["key"] in by_key:
            by_key[m["key"]]["finals"][m["split"], m["metric"]] = m
    for s in samples.filter(pc.equal(samples["split"], "forget")).to_pylist():
        if s["key"] in by_key:
            by_key[s["key"]]["facts"][s["split"], s["metric"]][s["fact_id"]] = s["value"]


def identity(cell: Cell, names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a cell that say what it is."""
    return tuple(cell[name] for name in names)


def control(groups: Groups, target: tuple, name: str, attack: tuple) -> Seeds:
    """The same attack on a control of the same target, the cells that worked."""
    seeds = Seeds()
    for (t, m, a), found in groups.items():
        if (t, m[0], a) == (target, name, attack):
            seeds |= found
    return seeds.ok()
