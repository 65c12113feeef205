"""Which method is better over all benchmarks of one model together: what one alone is too small to show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

from scipy.special import ndtr, ndtri

from . import ranking
from .identity import MethodId, TargetId
from .labels import method_label

Row = dict[str, Any]
P = Mapping[tuple[MethodId, MethodId], float]

CERTAIN = 1e-12
"""A p of 0 or 1 outweighs any other; so near to it none does."""


class Standing(NamedTuple):
    """The methods that are ranked on one target: rows of each, and one-sided p that one is no better."""

    target: TargetId
    rows: Mapping[MethodId, Sequence[Row]]
    p: P


def compare(standings: Sequence[Standing]) -> None:
    """Add to the rows of methods that are ranked on each of several benchmarks whom they are better than.

    The one-sided p of a pair are combined by Stouffer's method, each with the same weight: benchmarks share
    no fact. All pairs are corrected together, as on one benchmark. The better one's worst score is the lower
    one on every benchmark: no mean hides that it is not. Two targets of one benchmark share facts; then
    nothing is added.
    """
    by_model: dict[tuple[str, str], list[Standing]] = defaultdict(list)
    for standing in standings:
        by_model[standing.target.model, standing.target.dtype].append(standing)
    for alike in by_model.values():
        benchmarks = [standing.target.benchmark for standing in alike]
        if len(alike) > 1 and len({*benchmarks}) == len(alike):
            _of_one_model(alike)


def _of_one_model(standings: Sequence[Standing]) -> None:
    ranked = [m for m in standings[0].rows if all(m in standing.rows for standing in standings)]
    p = {pair: combined([standing.p[pair] for standing in standings]) for pair in permutations(ranked, 2)}
    corrected = ranking.corrected(p)
    for one in ranked:
        better_than = [
            method_label(standings[0].rows[other][0])
            for other in ranked
            if other != one
            and ranking.differ(corrected, one, other)
            and p[one, other] < p[other, one]
            and all(s.rows[one][0]["worst"] < s.rows[other][0]["worst"] for s in standings)
        ]
        for standing in standings:
            for row in standing.rows[one]:
                row["better_overall"] = better_than


def combined(p: Sequence[float]) -> float:
    """One p of those of several benchmarks, by Stouffer's method: their z are added."""
    bounded = [min(max(each, CERTAIN), 1 - CERTAIN) for each in p]
    return float(ndtr(ndtri(bounded).sum() / len(bounded) ** 0.5))
