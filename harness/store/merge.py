"""One results directory from several: parts of a grid from several machines, or from one after another.

Merged are cells and not leaderboards: ranks, intervals and recovery need the values of every fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError
from .packed import opened
from .schema import cell_name
from .store import Store

CELLS_NAMED = 5
"""Cells that an error names."""


@dataclass(frozen=True, slots=True)
class Merged:
    """How many cells ``out`` holds now, how many of them are new, and how many have failed.

    ``left_out`` says of each cell that something is wrong with where it is and what that is.
    """

    cells: int
    copied: int
    failed: int
    left_out: tuple[str, ...] = ()


def merge(out: Path, sources: Sequence[Path]) -> Merged:
    """Bring every cell of ``sources`` to ``out``, which may hold cells already and counts as a source.

    A cell that is there several times is kept once; one that failed gives way to one that worked. Each cell
    is committed as a whole, so a merge that was stopped is finished by the same command. A cell that
    something is wrong with stays where it is. Raises StoreError, before anything is written, where two
    directories hold different numbers under one key.
    """
    if out.resolve() in {place.resolve() for place in sources}:
        raise StoreError(f"--out {out} is one of the directories to merge; name another.")
    stores = [Store(out), *map(opened, sources)]
    statuses: dict[Store, dict[str, str]] = {}
    left_out = []
    for store in stores:
        found = store.stored()
        statuses[store] = {key: cell.status for key, cell in found.items() if not cell.wrong}
        left_out += [
            f"{_name(store, key)} in {store.root}: {cell.wrong[0]}."
            for key, cell in found.items()
            if cell.wrong
        ]
    chosen: dict[str, Store] = {}
    conflicts = []
    for key in sorted(set().union(*statuses.values())):
        good = [store for store in stores if statuses[store].get(key) == "ok"]
        chosen[key] = next(iter(good or [store for store in stores if key in statuses[store]]))
        for other in good[1:]:
            if not _same(chosen[key], other, key):
                conflicts.append((key, other))
    if conflicts:
        told = [
            f"{_name(other, key)} in {chosen[key].root} and {other.root}"
            for key, other in conflicts[:CELLS_NAMED]
        ]
        more = f"; and {len(conflicts) - CELLS_NAMED} more" if len(conflicts) > CELLS_NAMED else ""
        raise StoreError(
            "Not merged: the same cells have different numbers, so they were made on different machines or "
            f"with different versions of a library: {'; '.join(told)}{more}. Keep one of each: "
            "move the other's files away from cells/, metrics/ and samples/, or leave out its directory."
        )
    fresh = {key: store for key, store in chosen.items() if store is not stores[0]}
    for key, store in fresh.items():
        store.copy(key, stores[0])
    failed = sum(statuses[store][key] != "ok" for key, store in chosen.items())
    return Merged(len(chosen), len(fresh), failed, tuple(left_out))


def _same(one: Store, other: Store, key: str) -> bool:
    return all(a.equals(b) for a, b in zip(one.numbers(key), other.numbers(key), strict=True))


def _name(store: Store, key: str) -> str:
    """A cell for people: the beginning of its key, what it is, and its seed."""
    (row,) = store.cell(key).to_pylist()
    return f"{key[:12]} ({cell_name(row)})"
