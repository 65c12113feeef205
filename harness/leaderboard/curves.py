"""Relearning curves: how the forget metric rises along each attack that trains, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import t

from ..core.intervals import CONFIDENCE
from ..store.schema import SAMPLES
from . import columns
from .groups import Cell, grouped
from .stats import Moments

FLOAT, INT = pa.float64(), pa.int64()
SAME = (
    *("protocol", "benchmark", "benchmark_config", "data", "model", "target", "dtype"),
    *("method", "config", "attack", "variant", "attack_config", "forget_metric", "chance"),
    "attack_learning_rates",
)
"""Columns that say what the leaderboard's of the same name say."""

COLUMNS = {name: columns.COLUMNS[name] for name in SAME} | {
    "step": (INT, "optimiser steps of the attack; 0 is the unlearned model on the facts the attack scores"),
    "value": (
        FLOAT,
        "forget_metric there, at each seed's best rate (where nothing beat step 0: the best of the others); "
        "mean over seeds. The score is the mean of each seed's maximum, so it is not below the curve",
    ),
    "value_low": (FLOAT, "lower end of its 95 % interval over facts and seeds, which errs on the wide side"),
    "value_high": (FLOAT, "upper end of it"),
    "n_scored": (INT, "facts scored, in the seed that scored fewest"),
    "seeds": (INT, "seeds behind the value"),
    "signature": columns.COLUMNS["signature"],
}
SCHEMA = pa.schema([pa.field(n, kind, metadata={"description": d}) for n, (kind, d) in COLUMNS.items()])

Point = Mapping[str, Any]
"""A row of ``metrics`` with a step."""


def build(board: pa.Table, cells: pa.Table, metrics: pa.Table) -> pa.Table:
    """The curves behind the scores of ``board``, which was built from the same cells; in its order.

    An attack that does not train has one value and no curve.
    """
    points = _points(metrics)
    curves = {}
    for seeds in grouped(cells, metrics, SAMPLES.empty_table()).values():
        ok = seeds.ok()
        if ok and next(iter(ok.values()))["attack"] != "none":
            own = [_curve(cell, points[cell["key"]]) for cell in ok.values()]
            curves[board.signature(seeds)] = own
    rows = [
        {name: row[name] for name in (*SAME, "signature")} | point
        for row in board.to_pylist()
        for point in _mean(curves.get(row["signature"], ()))
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _points(metrics: pa.Table) -> Mapping[str, list[Point]]:
    """The points of all curves on the forget set, by cell."""
    found: dict[str, list[Point]] = defaultdict(list)
    on_forget = pc.and_(pc.is_valid(metrics["step"]), pc.equal(metrics["split"], "forget"))
    for point in metrics.filter(on_forget).to_pylist():
        found[point["key"]].append(point)
    return found


def _curve(cell: Cell, points: Iterable[Point]) -> dict[int, Point]:
    """One seed's curve by step, at the rate whose score counts; empty where the attack did not train."""
    own = [point for point in points if point["metric"] == cell["notes"].get("forget_metric")]
    trained = [point for point in own if point["step"] > 0]
    if not trained:
        return {}
    rate = cell["notes"].get("learning_rate")
    if rate is None:  # no training beat step 0: the rate that came nearest, the lowest of equal ones
        rate = max(trained, key=lambda p: (p["value"], -(p["learning_rate"] or 0)))["learning_rate"]
    kept = [point for point in own if point["learning_rate"] in (None, rate)]
    return {point["step"]: point for point in sorted(kept, key=lambda p: (p["step"], p["value"]))}


def _mean(curves: Sequence[Mapping[int, Point]]) -> list[dict[str, Any]]:
    """The mean over seeds at each step that a seed has."""
    rows = []
    for step in sorted({step for curve in curves for step in curve}):
        points = [curve[step] for curve in curves if step in curve]
        low, high = interval(points)
        value = float(np.mean([point["value"] for point in points]))
        numbers = {"value": value, "value_low": low, "value_high": high}
        n_scored = min((point["n"] for point in points if point["n"]), default=None)
        rows.append({"step": step, **numbers, "n_scored": n_scored, "seeds": len(points)})
    return rows


def interval(points: Sequence[Point]) -> tuple[float | None, float | None]:
    """The 95 % interval of the mean over seeds, for other facts and other seeds.

    The values of single facts are kept for the best checkpoint only. Of the others there are each seed's mean
    and its interval over facts, from which V_s (``leaderboard.stats``) follows, and of V_f the most it
    can be: the mean over seeds of each seed's own, as if a fact fared alike under every seed.
    (None, None) where a seed has no interval.
    """
    if any(point["low"] is None or point["high"] is None or (point["n"] or 0) < 2 for point in points):
        return None, None
    value, low, high, n = (np.array([p[name] for p in points]) for name in ("value", "low", "high", "n"))
    # The longer side: the other may have been cut at 0 or 1.
    errors = np.maximum(value - low, high - value) / t.ppf((1 + CONFIDENCE) / 2, n - 1)
    v_s = value.var(ddof=1) / len(points) if len(points) > 1 else 0.0
    parts = (value.mean(), (errors**2).mean(), v_s, 0.0, n.min(), len(points))
    half = Moments(*map(np.asarray, parts)).half_width()
    if np.isnan(half):
        return None, None
    ends = value.mean() - half, value.mean() + half
    share = low.min() >= 0 and high.max() <= 1
    low_end, high_end = np.clip(ends, 0, 1) if share else ends
    return float(low_end), float(high_end)
