"""Cells with their numbers, read from the tables of a store: by column, since there may be millions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import arrays, delta
from .versions import started_at

ALL = "all"
"""The word that stands for every name, and for what is of no one split."""

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
    facts: dict[Measured, arrays.Values] = field(default_factory=lambda: defaultdict(arrays.Values))
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
    def error(self) -> str:
        """Class and message of the error of a cell that failed."""
        return f"{self.row['error_type']}: {self.row['error_message']}"

    def value(self, measured: Measured) -> float | None:
        """The final value of a metric, or None."""
        final = self.finals.get(measured)
        return None if final is None else final["value"]


def as_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table; a text that stands in many is one object."""
    columns = [shared(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def shared(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; a text that stands there many times is one object."""
    if not pa.types.is_string(column.type):
        return list(column.to_pylist())
    texts, codes = _codes(column)
    return [texts[code] for code in codes.tolist()]


def _codes(column: pa.ChunkedArray) -> tuple[list[Any], np.ndarray]:
    """The texts of a column, null as the last one, and by row the place of its text."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    return [*texts, None], encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)


def read(rows: Sequence[dict[str, Any]], metrics: pa.Table, samples: pa.Table) -> list[Cell]:
    """Each cell with its final values, its curve, and the values of its facts."""
    by_key = {}
    for row in rows:
        by_key[row["key"]] = Cell(row, json.loads(row["notes"]), started_at(row))
    finals = pc.is_null(metrics["step"])
    for metric in as_rows(metrics.filter(pc.or_(finals, pc.equal(metrics["split"], FORGET)))):
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
    slopes = {key: found for key, cell in by_key.items() if (found := delta.slopes(cell.notes))}
    parts = {key: {part for slope in own.values() for part in slope} for key, own in slopes.items()}
    splits = {FORGET, *(split for of in (kept, *parts.values()) for split, _ in of)}
    samples = samples.filter(pc.is_in(samples["split"], pa.array(sorted(splits))))
    names = ("key", "split", "metric", "fact_id", "value", "cluster", "answer")
    # Columns and not rows, and runs of one metric: there may be millions.
    columns = [shared(samples[name]) for name in names]
    keys, of, metrics, facts, values, clusters, answers = columns
    said = np.concatenate([[0], np.cumsum(samples["answer"].is_valid().to_numpy())])
    for begin, end in _runs(samples):
        key, split, metric, own = keys[begin], of[begin], metrics[begin], facts[begin:end]
        if (cell := by_key.get(key)) is None:
            continue
        if split == FORGET and said[begin] < said[end]:
            told = zip(own, answers[begin:end], strict=True)
            cell.answers[metric].update((fact, answer) for fact, answer in told if answer is not None)
        if split == FORGET or (split, metric) in kept or (split, metric) in parts.get(key, ()):
            cell.facts[split, metric].update(zip(own, values[begin:end], strict=True))
            about, there = _about(tuple(own), tuple(clusters[begin:end])), cell.clusters.get(split)
            cell.clusters[split] = about if there is None or there is about else {**there, **about}
    for key, of_cell in slopes.items():
        cell = by_key[key]
        for aggregate, slope in of_cell.items():
            total = cell.value((ALL, aggregate))
            if total is not None and (says := delta.of_facts(total, slope, cell.facts)):
                named = {"/".join(fact): value for fact, value in says.items()}
                cell.facts[ALL, aggregate] = arrays.Values(named)
                about = {"/".join(fact): cell.clusters[fact[0]][fact[1]] for fact in says}
                cell.clusters[ALL] = {**cell.clusters.get(ALL, {}), **about}


@lru_cache(1 << 10)
def _about(facts: tuple[str, ...], clusters: tuple[str | None, ...]) -> Mapping[str, str]:
    """What facts are grouped by: one object for all cells that were asked them."""
    return {fact: cluster or fact for fact, cluster in zip(facts, clusters, strict=True)}


def _runs(samples: pa.Table) -> Iterator[tuple[int, int]]:
    """Begin and end of the rows that lie together and are of one metric of one cell."""
    if not samples.num_rows:
        return
    codes = [_codes(samples[name])[1] for name in ("key", "split", "metric")]
    begins = np.flatnonzero(np.any([code[1:] != code[:-1] for code in codes], axis=0)) + 1
    yield from pairwise([0, *begins.tolist(), samples.num_rows])
