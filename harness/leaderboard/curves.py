"""Relearning curves: the forget metric along each attack that trains, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import pyarrow as pa

from ..core.names import ATTACK
from . import board, columns
from .columns import FLOAT, IDENTITY, INT
from .groups import Groups
from .reading import Cell, Point
from .stats import SeedMean, intervals_of_means

SAME = (*IDENTITY, "forget_metric", "chance", "attack_learning_rates")
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
SCHEMA = columns.schema(COLUMNS)


def build(leaderboard: pa.Table, groups: Groups) -> pa.Table:
    """The curves behind the scores of a leaderboard, which was built from the same cells; in its order.

    An attack that does not train has one value and no curve.
    """
    curves = {}
    for which, seeds in groups.items():
        if which.stage == ATTACK and (ok := seeds.ok()):
            curves[board.signature(which, seeds)] = [_curve(cell) for cell in ok.values()]
    points = [
        (row, step, means)
        for row, signature in enumerate(leaderboard["signature"].to_pylist())
        for step, means in _points(curves.get(signature, ()))
    ]
    low, high = zip(*intervals_of_means([means for *_, means in points]), strict=True) if points else ((), ())
    rows = leaderboard.select([*SAME, "signature"]).take(pa.array([row for row, *_ in points], pa.int64()))
    found = {
        "step": [step for _, step, _ in points],
        "value": [fmean(mean.value for mean in means) for *_, means in points],
        "value_low": low,
        "value_high": high,
        "n_scored": [min((mean.n for mean in means if mean.n), default=None) for *_, means in points],
        "seeds": [len(means) for *_, means in points],
    }
    columns = {name: found[name] if name in found else rows[name] for name in COLUMNS}
    return pa.table(columns, SCHEMA)


def _curve(cell: Cell) -> dict[int, Point]:
    """One seed's curve by step, at the rate whose score counts; empty where the attack did not train."""
    points = [point for point in cell.curve if point.metric == cell.notes.get("forget_metric")]
    trained = [point for point in points if point.step > 0]
    if not trained:
        return {}
    rate = cell.notes.get("learning_rate")
    if rate is None:
        # The maximum was at step 0, before any training: shown is the rate that came nearest to beating it,
        # the lowest of equal ones.
        rate = max(trained, key=lambda p: (p.value, -(p.learning_rate or 0))).learning_rate
    # Step 0 belongs to all rates and has none; of two points of one step the higher one stays, as in a score.
    kept = [point for point in points if point.learning_rate in (None, rate)]
    return {point.step: point for point in sorted(kept, key=lambda p: (p.step, p.value))}


def _points(curves: Sequence[Mapping[int, Point]]) -> Iterator[tuple[int, list[SeedMean]]]:
    """What each seed has at each step that a seed has."""
    for step in sorted({step for curve in curves for step in curve}):
        points = (curve[step] for curve in curves if step in curve)
        yield step, [SeedMean(own.value, own.low, own.high, own.n or 0) for own in points]
