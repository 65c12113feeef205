"""Versions of one code: which of them a leaderboard takes, where results hold cells of several."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..core.names import UTILITY
from ..errors import StoreError
from ..store.decided import DIGITS, identity_of, without_versions
from .identity import GroupId
from .rows import group_of

ON = ("benchmark", "benchmark_plugin", "benchmark_config", "data_fingerprint", "model", "dtype")
"""Columns that are the same for all cells one may want to compare; the target's key follows the engine."""

OF = {
    "engine": ON,
    "benchmark_source": ON,
    "method_source": (*ON, "method", "method_plugin", "method_config"),
    "attack_source": (*ON, "stage", "attack", "variant", "attack_plugin", "attack_config"),
}
"""By column that holds a digest of code, those in which cells must agree for the code to be one."""

RELEASES = {
    "benchmark_plugin": ON,
    "method_plugin": OF["method_source"],
    "attack_plugin": OF["attack_source"],
}
"""The same, by column with the release that a plugin came with."""

ANY = "any"
"""In place of the beginning of a digest: the newest of each cell, whichever version of a code made it."""

SEEDS_NAMED = 5
"""Seeds that a sentence names, or it says how many."""

Row = Mapping[str, Any]
Alike = Sequence[Row]
"""Rows that differ in nothing but their seed, and where there are several targets in these."""


def alike(rows: Iterable[Row]) -> dict[GroupId, list[Row]]:
    """Rows of cells by what they measure, each group by key."""
    found: dict[GroupId, list[Row]] = defaultdict(list)
    for row in rows:
        found[group_of(row)].append(row)
    return {which: sorted(own, key=lambda row: str(row["key"])) for which, own in found.items()}


def one_code(rows: Sequence[Row], sources: Sequence[str] = ()) -> dict[GroupId, list[Row]]:
    """:func:`alike` of one version of each code, as ``sources`` (beginnings of digests) choose.

    A version of which no cell worked gives way to one that has numbers: a plugin that was mended leaves
    failed cells behind. Raises StoreError where two versions remain, and for a source that no cell has.
    """
    groups = alike(rows)
    known = {own[0][column] for own in groups.values() for column in OF}
    for source in sources:
        if not source or not any(digest.startswith(source) for digest in known):
            raise StoreError(
                f"--source {source}: no cell of these results has code whose digest begins like this; "
                "`harness leaderboard build` without --source names those that compete."
            )
    kept: list[Alike] = [*groups.values()]
    for column, same in OF.items():
        kept = [own for found in _versions(kept, column, same) for own in _one(column, found, tuple(sources))]
    return {group_of(own[0]): [*own] for own in kept}


def _versions(kept: Sequence[Alike], column: str, same: Sequence[str]) -> Iterable[dict[str, list[Alike]]]:
    """In each place, the rows of each version."""
    versions: dict[tuple, dict[str, list[Alike]]] = defaultdict(lambda: defaultdict(list))
    for own in kept:
        place = _place(tuple(same), tuple(own[0][name] for name in same))
        versions[place][own[0][column]].append(own)
    return versions.values()


@lru_cache(1 << 14)
def _place(columns: tuple[str, ...], values: tuple[Any, ...]) -> tuple[Any, ...]:
    return without_versions(dict(zip(columns, values, strict=True)), columns)


def together(rows: Sequence[Row]) -> list[Row]:
    """The newest of the cells that worked in each place, and the digests of all that are compared as one.

    Where cells that one may want to compare are of several versions of a code, the column of its digest holds
    the beginnings of all of them: a board says so, and what was made by one version never passes for another.
    Several releases are named together in the same way.
    """
    newest: dict[tuple, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["status"] == "ok", started_at(row), row["key"])):
        newest[identity_of(row)] = dict(row)
    kept = list(newest.values())
    for column, same in (OF | RELEASES).items():
        versions: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
        for row in kept:
            versions[without_versions(row, same)].append(row)
        for found in versions.values():
            names = sorted({row[column] for row in found})
            if len(names) > 1:
                joint = "+".join(name[:DIGITS] if column in OF else name for name in names)
                for row in found:
                    row[column] = joint
    return sorted(kept, key=lambda row: str(row["key"]))


def started_at(row: Row) -> str:
    """When a cell was started, or nothing where it does not say."""
    return str(json.loads(row["provenance"]).get("started_at") or "")


def _one(column: str, versions: dict[str, list[Alike]], sources: tuple[str, ...]) -> list[Alike]:
    """The rows of the version to take."""
    worked = {
        digest: kept
        for digest, kept in versions.items()
        if any(row["status"] == "ok" for own in kept for row in own)
    } or versions
    chosen = worked
    if len(worked) > 1 and sources:
        chosen = {digest: kept for digest, kept in versions.items() if digest.startswith(sources)} or worked
    if len(chosen) > 1:
        rows = {digest: [row for own in kept for row in own] for digest, kept in chosen.items()}
        raise StoreError(_sentence(column, rows))
    (kept,) = chosen.values()
    return kept


def _sentence(column: str, versions: dict[str, list[Row]]) -> str:
    told = [f"{digest[:DIGITS] or 'unknown'} ({_cells(rows)})" for digest, rows in sorted(versions.items())]
    first = next(iter(versions.values()))[0]
    return (
        f"No leaderboard from these results: they hold cells of {len(versions)} versions of "
        f"{_what(column, first)}: {' and '.join(told)}; choose one with --source DIGEST, or build from "
        "results of one version."
    )


def _what(column: str, row: Row) -> str:
    """Whose code it is, for people."""
    where = f"{row['benchmark']} with the model {row['model']}"
    if column == "engine":
        return f"the engine, on {where}"
    if column == "benchmark_source":
        return f"the benchmark {row['benchmark']}"
    if column == "method_source":
        return f"the method {row['method']}, on {where}"
    if row["stage"] == UTILITY:
        return f"the tasks of {row['attack_plugin']}, on {where}"
    return f"the attack {' '.join(filter(None, (row['attack'], row['variant'])))}, on {where}"


def _cells(rows: Sequence[Row]) -> str:
    """How many cells, and under which seeds."""
    seeds = sorted({row["seed"] for row in rows})
    named = f"seed{'s'[: len(seeds) > 1]} {', '.join(map(str, seeds))}"
    count = f"{len(rows)} cell{'s'[: len(rows) > 1]}"
    return f"{count}, {named if len(seeds) <= SEEDS_NAMED else f'{len(seeds)} seeds'}"
