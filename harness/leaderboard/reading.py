"""Cells with their numbers, read from the tables of a store: by column, since there may be millions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import arrays, delta
from .rows import Columns, codes
from .versions import started_at

ALL = "all"
"""The word that stands for every name, and for what is of no one split."""

FORGET = "forget"
"""The split whose facts, and points of curves, the leaderboard reads; of others the retain metric's."""

RETAIN = "retain"
"""The split that methods train to keep."""

Measured = tuple[str, str]
"""Split and metric."""


class Point(NamedTuple):
    """A row of ``metrics`` with a step."""

    metric: str
    step: int
    learning_rate: float | None
    value: float
    low: float | None
    high: float | None
    n: int | None


@dataclass(slots=True)
class Cell:
    """A row of ``cells`` with its JSON read, and with its rows of ``metrics`` and ``samples``."""

    row: Mapping[str, Any]
    notes: Mapping[str, Any]
    provenance: Mapping[str, Any]
    finals: dict[Measured, Mapping[str, Any]] = field(default_factory=dict)
    """Rows of ``metrics`` without a step."""
    curve: list[Point] = field(default_factory=list)
    """Those with a step, of the forget set."""
    facts: dict[Measured, arrays.Values] = field(default_factory=dict)
    """The values of each fact, by its id: of the forget set, and of what says what a method kept.

    Of an aggregate it is what a fact says of it (:mod:`.delta`).
    """
    clusters: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """By split, what each of these facts is grouped by."""
    answers: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """By metric, what the model wrote about each forget fact, where the metric looks at one text."""

    @property
    def ok(self) -> bool:
        """Whether it worked."""
        return bool(self.row["status"] == "ok")

    @property
    def started_at(self) -> str:
        """When it was started, or nothing where it does not say."""
        return started_at(self.row)

    @property
    def hardware(self) -> str | None:
        """The accelerator that it ran on, or the processor where there was none; None if it does not say."""
        return self.provenance.get("gpu") or self.provenance.get("cpu")

    @property
    def error(self) -> str:
        """Class and message of the error of a cell that failed."""
        return f"{self.row['error_type']}: {self.row['error_message']}"

    def value(self, measured: Measured) -> float | None:
        """The final value of a metric, or None."""
        final = self.finals.get(measured)
        return None if final is None else final["value"]


def read(rows: Sequence[Mapping[str, Any]], metrics: pa.Table, samples: pa.Table) -> list[Cell]:
    """Each cell with its final values, its curve, and the values of its facts."""
    notes, provenance = (_objects([row[name] for row in rows]) for name in ("notes", "provenance"))
    cells = map(Cell, rows, notes, provenance)
    by_key = {row["key"]: cell for row, cell in zip(rows, cells, strict=True)}
    of_forget = pc.or_(pc.is_null(metrics["step"]), pc.equal(metrics["split"], FORGET))
    columns = Columns(_where(metrics, of_forget))
    points = map(Point, *(columns[name] for name in Point._fields))
    each = zip(columns["key"], columns["split"], points, columns.rows(), strict=True)
    for key, split, point, row in each:
        if (cell := by_key.get(key)) is None:
            continue
        if point.step is None:
            cell.finals[split, point.metric] = row
        else:
            cell.curve.append(point)
    _add_facts(by_key, samples)
    return list(by_key.values())


def _where(table: pa.Table, mask: pa.ChunkedArray) -> pa.Table:
    """The rows of which it is true: the table itself where it is of all."""
    return table if pc.all(mask).as_py() else table.filter(mask)


def _objects(texts: Sequence[str]) -> list[Mapping[str, Any]]:
    """JSON objects, each text of which is read once."""
    distinct = [*dict.fromkeys(texts)]
    known = dict(zip(distinct, json.loads(f"[{','.join(distinct)}]"), strict=True))
    return [known[text] for text in texts]


def _add_facts(by_key: Mapping[str, Cell], samples: pa.Table) -> None:
    """Give each cell the values of its forget facts, and of those by which it is seen what a method keeps."""
    kept = {tuple(pair) for cell in by_key.values() if (pair := cell.notes.get("retain_metric"))}
    slopes = {key: found for key, cell in by_key.items() if (found := delta.slopes(cell.notes))}
    parts = {key: {part for slope in own.values() for part in slope} for key, own in slopes.items()}
    splits = {FORGET, *(split for of in (kept, *parts.values()) for split, _ in of)}
    samples = _where(samples, pc.is_in(samples["split"], pa.array(sorted(splits))))
    alike, values = _Alike(samples), samples["value"].to_numpy()
    said = np.concatenate([[0], np.cumsum(samples["answer"].is_valid().to_numpy())]).tolist()
    for key, split, metric, begin, end in _runs(samples):
        if (cell := by_key.get(key)) is None:
            continue
        if split == FORGET and said[begin] < said[end]:
            cell.answers[metric].update(_answers(samples.slice(begin, end - begin)))
        if split == FORGET or (split, metric) in kept or (split, metric) in parts.get(key, ()):
            facts, about = alike.of(begin, end)
            own, there = arrays.Values(facts, values[begin:end]), cell.facts.get((split, metric))
            cell.facts[split, metric] = own if there is None else there.joined(own)
            known = cell.clusters.get(split)
            cell.clusters[split] = about if known is None or known is about else {**known, **about}
    for key, of_cell in slopes.items():
        cell = by_key[key]
        for aggregate, slope in of_cell.items():
            total = cell.value((ALL, aggregate))
            if total is not None and (says := delta.of_facts(total, slope, cell.facts)):
                facts = arrays.facts_of(tuple(map("/".join, says)))
                cell.facts[ALL, aggregate] = arrays.Values(facts, np.array([*says.values()]))
                about = {"/".join(fact): cell.clusters[fact[0]][fact[1]] for fact in says}
                cell.clusters[ALL] = {**cell.clusters.get(ALL, {}), **about}


def _answers(samples: pa.Table) -> Iterable[tuple[str, str]]:
    """What was written about each fact, where a text is kept."""
    said = samples.filter(samples["answer"].is_valid())
    return zip(said["fact_id"].to_pylist(), said["answer"].to_pylist(), strict=True)


class _Alike:
    """The facts of samples and what they are grouped by: one object for all cells that were asked them."""

    def __init__(self, samples: pa.Table) -> None:
        self._facts, fact = codes(samples["fact_id"])
        self._clusters, cluster = codes(samples["cluster"])
        self._codes = fact.astype(np.int64) * len(self._clusters) + cluster
        self._known: dict[bytes, tuple[arrays.Facts, Mapping[str, str]]] = {}

    def of(self, begin: int, end: int) -> tuple[arrays.Facts, Mapping[str, str]]:
        """Those of the samples from ``begin`` to ``end``."""
        own = self._codes[begin:end].tobytes()
        if (known := self._known.get(own)) is None:
            fact, cluster = np.divmod(self._codes[begin:end], len(self._clusters))
            facts = tuple(self._facts[code] for code in fact)
            clusters = (self._clusters[code] for code in cluster)
            about = {fact: cluster or fact for fact, cluster in zip(facts, clusters, strict=True)}
            known = self._known[own] = arrays.facts_of(facts), about
        return known


def _runs(samples: pa.Table) -> Iterator[tuple[str, str, str, int, int]]:
    """Key, split and metric, begin and end of each rows that lie together and are of one metric of a cell."""
    if not samples.num_rows:
        return
    columns = [codes(samples[name]) for name in ("key", "split", "metric")]
    begins = np.flatnonzero(np.any([of[1:] != of[:-1] for _, of in columns], axis=0)) + 1
    begins = np.concatenate([[0], begins])
    of = ([texts[code] for code in own[begins].tolist()] for texts, own in columns)
    yield from zip(*of, *zip(*pairwise([*begins.tolist(), samples.num_rows]), strict=True), strict=True)
