"""The leaderboard of results of any size: in parts, side by side, so that few cells are in memory at once.

Nothing of a row depends on cells of another model, but for the settings in which benchmarks of one name
differ. So what is of one model is built by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.names import UTILITY
from ..leaderboard import board, origin
from ..leaderboard.columns import SCHEMA
from ..leaderboard.groups import Groups, grouped
from ..leaderboard.identity import Settings, TargetId
from ..leaderboard.reading import ALL
from ..leaderboard.versions import ANY
from ..store import store
from ..store.store import Store
from . import files
from .files import Published
from .side_by_side import side_by_side

PART = 10_000
"""Cells that are a part, if they are of several models."""

OF_BENCHMARKS = ("benchmark", "benchmark_plugin", "benchmark_config")

Track = Callable[[Iterator[Any], int, str], Iterable[Any]]
"""Shows the progress of so many items, of which it is told what they are, and hands them on."""

Unsound = list[tuple[str, str]]
"""As :func:`store.unsound` has it."""


class Choice(NamedTuple):
    """What of the cells is on the leaderboard, as :func:`grouped` and :meth:`Groups.only` take it."""

    sources: Sequence[str] = ()
    methods: Sequence[str] = (ALL,)
    attacks: Sequence[str] = (ALL,)

    @property
    def is_all(self) -> bool:
        """Whether no name is chosen, of which all cells have to say whether there is such."""
        return [*self.sources] in ([], [ANY]) and [*self.methods] == [*self.attacks] == [ALL]


EVERYTHING = Choice()


def as_they_come(items: Iterator[Any], number: int, what: str) -> Iterable[Any]:
    """Shows nothing."""
    return items


def build(
    stores: Sequence[Store], choice: Choice = EVERYTHING, track: Track = as_they_come
) -> tuple[Published, Unsound]:
    """The leaderboard of all cells, and which of them something is wrong with; ``track`` shows its progress.

    Raises StoreError and ConfigError as :func:`grouped` and :meth:`Groups.only` do.
    """
    cells = sum(len(store.keys()) for store in stores)
    listed = _listed(stores) if choice.is_all and cells >= 2 * PART else None
    # Whoever reads all of them stops at several protocols, or at a file that is damaged, and says so.
    if listed is None or listed.num_rows < cells or len(pc.unique(listed["protocol"])) > 1:
        made, _, unsound = _built(stores, choice)
        return made, unsound
    benchmarks, of = _benchmarks(listed), _parts(listed)

    def part(number: int) -> tuple[dict[TargetId, Published], Mapping[str, str], Unsound]:
        keys = {*listed["key"].filter(pa.array(of == number)).to_pylist()}
        made, groups, unsound = _built(stores, choice, keys, benchmarks)
        return dict(_by_target(made, groups)), origin.marks(made.board), unsound

    number = int(of.max()) + 1
    what = f"Building the leaderboard of {cells:,} cells"
    parts = [*track(side_by_side(part, range(number)), number, what)]
    return _joined(parts), [*chain.from_iterable(unsound for _, _, unsound in parts)]


def _built(
    stores: Sequence[Store],
    choice: Choice,
    keys: Collection[str] | None = None,
    benchmarks: board.Benchmarks | None = None,
) -> tuple[Published, Groups, Unsound]:
    cells, metrics, samples, found = store.everything(stores, keys)
    groups = grouped(cells, metrics, samples, choice.sources).only(choice.methods, choice.attacks)
    return files.build(groups, found, benchmarks), groups, store.unsound(cells)


def _listed(stores: Sequence[Store]) -> pa.Table:
    """What says of each cell which part it is of."""
    return pa.concat_tables(
        [store.listing("model", "target_key", "protocol", *OF_BENCHMARKS) for store in stores]
    )


def _benchmarks(listed: pa.Table) -> board.Benchmarks:
    known: dict[str, set[Settings]] = defaultdict(set)
    for row in listed.group_by([*OF_BENCHMARKS]).aggregate([]).to_pylist():
        known[row["benchmark"]].add(Settings(row["benchmark_plugin"], row["benchmark_config"]))
    return known


def _parts(listed: pa.Table) -> np.ndarray:
    """By cell, which part it is in: that of all which share a model or a target with it, or with those."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    columns = (listed[name].combine_chunks() for name in ("model", "target_key"))
    model, target = (column.dictionary_encode().indices.to_numpy() for column in columns)
    beyond = int(model.max()) + 1
    nodes = beyond + int(target.max()) + 1
    together = coo_matrix((np.ones(len(model)), (model, beyond + target)), (nodes, nodes))
    of = connected_components(together, directed=False)[1][model]
    _, first, of, sizes = np.unique(of, return_index=True, return_inverse=True, return_counts=True)
    # As they come in the files: those of a part lie near to each other.
    order = np.argsort(first)
    begin = np.empty_like(sizes)
    begin[order] = np.cumsum(sizes[order]) - sizes[order]
    return np.unique(begin // PART, return_inverse=True)[1][of]


def _by_target(made: Published, groups: Groups) -> Iterator[tuple[TargetId, Published]]:
    """Each target by itself."""
    of = {
        board.signature(which, seeds): which.target
        for which, seeds in groups.items()
        if which.stage != UTILITY
    }
    rows: dict[TargetId, list[str]] = defaultdict(list)
    for signature in made.board["signature"].to_pylist():
        rows[of[signature]].append(signature)
    for target, signatures in rows.items():
        own = pa.array(signatures)
        yield target, Published(*(table.filter(pc.is_in(table["signature"], own)) for table in made))


def _joined(
    parts: Iterable[tuple[Mapping[TargetId, Published], Mapping[str, str], Unsound]],
) -> Published:
    """One leaderboard of all targets, which come in their order."""
    targets: dict[TargetId, Published] = {}
    marks: dict[str, str] = {}
    for own, of_rows, _ in parts:
        targets |= own
        marks |= of_rows
    ordered = [targets[target] for target in sorted(targets)]
    rows = pa.concat_tables([made.board.replace_schema_metadata(SCHEMA.metadata) for made in ordered])
    beside = (pa.concat_tables(tables) for tables in zip(*(made[1:] for made in ordered), strict=True))
    return Published(origin.with_marks(rows, marks), *beside)
