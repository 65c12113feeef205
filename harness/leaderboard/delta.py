"""What each fact says of an aggregate, which is no mean over facts: the delta method.

With U the aggregate, m_j the mean of a split's metric j over its n_j facts and g_j = dU/dm_j, a fact f of the
F facts of all splits says

    u_f = U + sum_j g_j F / n_j (y_fj - m_j)

so that the mean of the u_f is U, and their spread is that of U. Facts of one subject stay together, whatever
split they are in.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from ..core.names import GRADIENT

Measured = tuple[str, str]
"""Split and metric."""

Facts = Mapping[Measured, Mapping[str, float]]
"""By split and metric, the value of each fact."""

Slope = Mapping[Measured, float]
"""g_j of an aggregate."""


def slopes(notes: Mapping[str, Any]) -> dict[str, Slope]:
    """Of each aggregate of which a cell's notes say it."""
    return {
        aggregate: {(split, metric): g for split, of in by_split.items() for metric, g in of.items()}
        for aggregate, by_split in notes.get(GRADIENT, {}).items()
    }


def of_facts(aggregate: float, slope: Slope, facts: Facts) -> dict[tuple[str, str], float]:
    """u_f by split and fact; none where the facts of a mean are not there."""
    if not all(facts.get(measured) for measured in slope):
        return {}
    says = {(split, fact): aggregate for split, metric in slope for fact in facts[split, metric]}
    for (split, metric), g in slope.items():
        own = facts[split, metric]
        mean = fmean(own.values())
        for fact, value in own.items():
            says[split, fact] += g * len(says) / len(own) * (value - mean)
    return says
