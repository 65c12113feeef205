"""A synthetic grid of any size in files of many cells, as `harness results compact` leaves them.

Each target has up to twenty methods (the controls among them), ten stages (before, and under nine attacks)
and ten seeds: ten cells for a row of the leaderboard. Every cell is sound: keys, digests and intervals are
those that a run would have written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness.core.names import ATTACK, EVALUATION
from harness.core.types import as_row
from harness.store import index, integrity
from harness.store.atomic import write_atomically
from harness.store.compacted import FOLDER
from harness.store.compaction import MOST, content_of
from harness.store.decided import key_of
from harness.store.index import Indexed
from harness.store.many import MANY
from harness.store.schema import ANALYSES, METRICS, SAMPLES
from support.cells import FACTS, cell

METHODS = ("none", "retrain", "refusal", *(f"method{i:02d}" for i in range(17)))
ATTACKS = ("none", *(f"attack{i}" for i in range(9)))
SEEDS = 10
OF_TARGET = len(METHODS) * len(ATTACKS) * SEEDS

Row = dict[str, Any]


def write(place: Path, cells: int) -> int:
    """Write a grid of about so many cells; returns how many there are."""
    made = _cells(cells)
    files: dict[str, Indexed] = {}
    while rows := list(islice(made, MOST)):
        table = pa.table({name: [row[name] for row in rows] for name in MANY.names}, MANY)
        keys, content = [row["key"] for row in rows], content_of(table)
        name = f"{len(files) + 1:06d}.parquet"
        write_atomically(place / FOLDER / name, content)
        files[name] = Indexed.of(content, keys, frozenset(keys))
    index.write(place / FOLDER, files)
    return sum(len(file.keys) for file in files.values())


def _cells(cells: int) -> Iterator[Row]:
    """By target, and in each by key: what a run commits together is compacted together."""
    per_method = len(ATTACKS) * SEEDS
    for target in range(-(-cells // OF_TARGET)):
        left = cells - target * OF_TARGET
        methods = METHODS[: max(1, min(len(METHODS), left // per_method))]
        own = [
            _cell(target, method, attack, seed)
            for method in methods
            for attack in ATTACKS
            for seed in range(SEEDS)
        ]
        yield from sorted(own, key=lambda row: row["key"])


def _cell(target: int, method: str, attack: str, seed: int) -> Row:
    """A cell as a row of a file of many; its answers are drawn."""
    row, metrics, samples = _like(target, method, attack)
    row = row | {"seed": seed, "seconds": 1.0 + seed}
    row["provenance"] = json.dumps({"cpu": "A processor", "started_at": f"2026-01-01T00:00:{seed:02d}"})
    row["key"] = key = key_of(row)
    kept = METHODS.index(method) % 7 / 20
    share = {"none": 0.95, "retrain": 0.1, "refusal": 0.05}.get(
        method, 0.1 if attack == "none" else 0.2 + kept
    )
    same = (method, attack) == ("none", "none")  # the original is one model, whatever the seed
    drawn_by = [target, METHODS.index(method), ATTACKS.index(attack), 0 if same else seed]
    draw = np.random.default_rng(drawn_by)
    known = int(draw.binomial(len(FACTS), share))
    mean, low, high = _interval(known)
    metrics = [
        m | {"key": key} | ({"value": mean, "low": low, "high": high} if m["split"] == "forget" else {})
        for m in metrics
    ]
    values = np.zeros(len(FACTS))
    values[draw.permutation(len(FACTS))[:known]] = 1.0
    drawn = iter(values.tolist())
    samples = [s | {"key": key} | ({"value": next(drawn)} if s["split"] == "forget" else {}) for s in samples]
    columns = [
        {name: [each[name] for each in rows] for name in schema.names}
        for rows, schema in ((metrics, METRICS), (samples, SAMPLES), ([], ANALYSES))
    ]
    row["content"] = integrity.digest(row, *columns)
    for each in (*metrics, *samples):
        del each["key"]
    return row | {"metrics": metrics, "samples": samples, "analyses": []}


@lru_cache(1)
def _like(target: int, method: str, attack: str) -> tuple[Row, list[Row], list[Row]]:
    """What the cells that differ in their seed have in common."""
    place = {"target_key": f"{target:064d}", "model": f"model{target}", "target_weights": f"{target:064x}"}
    row, outcome = cell(method, attack, known=10, notes={"threshold": 0.25, "threshold_high": 0.25}, **place)
    row = as_row(row) | {"stage": EVALUATION if attack == "none" else ATTACK}
    # One metric of the forget set is enough.
    metrics = [as_row(m) for m in outcome.metrics if m.metric != "exact_match"]
    samples = [as_row(s) for s in outcome.samples if s.metric != "exact_match"]
    return row, metrics, samples


@lru_cache(None)
def _interval(known: int) -> tuple[float, float, float]:
    from harness.core.intervals import mean_interval

    low, high = mean_interval([float(i < known) for i in range(len(FACTS))])
    return known / len(FACTS), low, high
