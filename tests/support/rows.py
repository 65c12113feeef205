"""Made-up rows of a leaderboard, and tables whose verdicts are made up."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from harness.leaderboard.columns import COLUMNS, Estimate

Row = dict[str, Any]


def row(method: str, **changes: Any) -> Row:
    """A method's row before any attack. What is not given was not measured."""
    same = {"protocol": "2", "benchmark": "world", "data": "d" * 64, "model": "tiny", "target": "t" * 64}
    same |= {"dtype": "float32", "attack": "none", "variant": "", "forget_metric": "accuracy"}
    counts = {"seeds": 3, "failed": 0, "errors": [], "targets": 1, "few_facts": False}
    scores = {"forget_before": 0.3, "chance": 0.25, "threshold": 0.3, "threshold_high": 0.35}
    return dict.fromkeys(COLUMNS) | same | counts | scores | {"method": method} | changes


def unlearned(
    method: str,
    verdict: str,
    recovered: float | None = None,
    low: float | None = None,
    high: float | None = None,
    **changes: Any,
) -> Row:
    """The row of a method with its verdict and what came back of the knowledge."""
    back = Estimate(recovered, low, high).columns("recovered")
    if recovered is not None:
        back |= {"recovered_attack": "private-data p=0.3"}
    return row(method, verdict=verdict, **back | changes)


def standing(method: str, rank: int, worst: float, better_than: tuple[str, ...] = (), **changes: Any) -> Row:
    """The row of a ranked method that hides, its worst score in an interval 0.2 wide."""
    scores = Estimate(worst, worst - 0.1, worst + 0.1).columns("worst") | {"worst_attack": "lora"}
    place = {"rank": rank, "distinguishable_from": list(better_than)}
    return unlearned(method, "hidden", 0.6, 0.55, 0.65, **scores | place | changes)


def judged(table: pa.Table, by_method: dict[str, Row]) -> pa.Table:
    """A leaderboard with these columns in all rows of a method, and none of them in those of the others."""
    rows = table.to_pylist()
    names = dict.fromkeys(name for columns in by_method.values() for name in columns)
    for own in rows:
        own |= dict.fromkeys(names) | by_method.get(own["method"], {})
    return pa.Table.from_pylist(rows, schema=table.schema)
