"""Columns of a method's models before any attack, which all its rows have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ..core.names import CONTROLS, RETRAIN, UTILITY_METRIC
from .columns import Estimate
from .estimates import differences, estimates, mean, over_facts_or_seeds
from .groups import Groups, Seeds
from .identity import GroupId, MethodId, TargetId
from .reading import FORGET, Cell, Measured


class Query(NamedTuple):
    """A method on a target, the forget metric of a row, and the baseline of the target."""

    target: TargetId
    method: MethodId
    forget: Measured
    start: str


def before(groups: Groups, queries: Collection[Query]) -> dict[Query, dict[str, Any]]:
    """The columns of each, at once."""
    ordered = list(queries)
    unlearned = [groups.evaluation(each.target, each.method).ok() for each in ordered]
    forgotten = estimates([(own, each.forget) for own, each in zip(unlearned, ordered, strict=True)])
    above = _above_twin(groups, ordered, unlearned, forgotten)
    retain = [(own, tuple(own.note("retain_metric") or ())) for own in unlearned]
    retained = over_facts_or_seeds([query for query in retain if query[1]])  # type: ignore[arg-type]
    left = iter(retained)
    useful = over_facts_or_seeds([(own, UTILITY_METRIC) for own in unlearned])
    return {
        each: forgotten[i].columns("forget_before")
        | above[i].columns("above_twin")
        | (next(left) if retain[i][1] else Estimate(None)).columns("retain_before")
        | useful[i].columns("utility_before")
        | _of_notes(each, own)
        for i, (each, own) in enumerate(zip(ordered, unlearned, strict=True))
    }


def _above_twin(
    groups: Groups, queries: Sequence[Query], unlearned: Sequence[Seeds], forgotten: Sequence[Estimate]
) -> list[Estimate]:
    """How far each is above the twin, or above chance where there is no twin."""
    found = []
    twins: dict[int, tuple[Seeds, Seeds, Measured]] = {}
    for place, ((target, method, forget, start), own) in enumerate(zip(queries, unlearned, strict=True)):
        if start == RETRAIN:
            twins[place] = own, groups.control(GroupId.before(target, method), RETRAIN), forget
        plain = start != RETRAIN and forget[1] == own.note("forget_metric")
        found.append(_less(forgotten[place], own.note("chance")) if plain else Estimate(None))
    for place, estimate in zip(twins, differences([*twins.values()]), strict=True):
        found[place] = estimate
    return found


def _of_notes(query: Query, unlearned: Seeds) -> dict[str, Any]:
    """The columns that cells' notes say."""
    highest = map(highest_forgotten, unlearned.values())
    return {
        "threshold": mean(unlearned.notes("threshold")),
        "threshold_high": mean(high for high in highest if high is not None),
        "threshold_rule": unlearned.note("threshold_rule"),
        "forgotten": None if query.method.method in CONTROLS else _share_forgotten(unlearned),
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
