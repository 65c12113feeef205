"""Columns of a method's models before any attack, which all its rows have."""

from __future__ import annotations

from typing import Any

from ..core.names import CONTROLS, RETRAIN, UTILITY_METRIC
from .columns import Estimate
from .estimates import difference, estimate, mean, over_facts_or_seeds
from .groups import Groups, Seeds
from .identity import GroupId, MethodId, TargetId
from .reading import FORGET, Cell, Measured


def before(
    groups: Groups, target: TargetId, method: MethodId, forget: Measured, start: str
) -> dict[str, Any]:
    """The columns, by the forget metric of a row and the baseline ``start`` of its target."""
    plain = GroupId.before(target, method)
    unlearned = groups.evaluation(target, method).ok()
    forgotten = estimate(unlearned, forget)
    columns = forgotten.columns("forget_before")
    if start == RETRAIN:
        columns |= difference(unlearned, groups.control(plain, RETRAIN), forget).columns("above_twin")
    elif forget[1] == unlearned.note("forget_metric"):
        columns |= _less(forgotten, unlearned.note("chance")).columns("above_twin")
    retain = unlearned.note("retain_metric")
    kept = over_facts_or_seeds(unlearned, (retain[0], retain[1])) if retain else Estimate(None)
    columns |= kept.columns("retain_before")
    columns |= over_facts_or_seeds(unlearned, UTILITY_METRIC).columns("utility_before")
    return columns | {
        "threshold": mean(unlearned.notes("threshold")),
        "threshold_high": mean(
            high for high in map(highest_forgotten, unlearned.values()) if high is not None
        ),
        "threshold_rule": unlearned.note("threshold_rule"),
        "forgotten": None if method.method in CONTROLS else _share_forgotten(unlearned),
        "learning_rates": sorted(set(unlearned.notes("learning_rate"))) or None,
    }


def forgot(cell: Cell) -> bool | None:
    """Whether a model has forgotten, by the benchmark's threshold before any attack; None if it is not known.

    A method may stop by a rule of its own; what counts is what the benchmark says of the model it left. A
    threshold that is a score of the twin's is known within its interval only: up to the upper end of it
    nothing shows that the model is better than one that never knew.
    """
    value = cell.value((FORGET, cell.notes.get("forget_metric") or ""))
    most = highest_forgotten(cell)
    if value is None or most is None:
        return cell.notes.get("forgotten")
    return bool(value <= most)


def highest_forgotten(cell: Cell) -> float | None:
    """The highest forget score that counts as forgotten."""
    high = cell.notes.get("threshold_high")
    most: float | None = cell.notes.get("threshold") if high is None else high
    return most


def _share_forgotten(unlearned: Seeds) -> float | None:
    return mean(float(known) for known in map(forgot, unlearned.values()) if known is not None)


def _less(estimate: Estimate, level: float | None) -> Estimate:
    """The estimate, from a level on."""
    if level is None:
        return Estimate(None)
    return Estimate(*(None if number is None else number - level for number in estimate))
