"""Recovery: what an attack brought back, against the same attack on the original and on what never knew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ..core.intervals import CONFIDENCE
from ..core.names import EVALUATION, ORIGINAL, RETRAIN
from . import ranking, stats
from .groups import FORGET, Groups, Measured
from .identity import GroupId, TargetId

CHANCE = "chance"
"""The baseline of a target that has no twin; otherwise it is the control ``retrain``."""

TWIN = "twin"
"""The rule of a threshold that is the twin's score."""

A = TypeVar("A")


def baseline(target: TargetId, groups: Groups) -> str:
    """What recovery is measured from: the twin if there is one, whether or not it was run."""
    for which, seeds in groups.items():
        if which.target == target and (
            which.method.method == RETRAIN
            or (which.stage == EVALUATION and seeds.note("threshold_rule") == TWIN)
        ):
            return RETRAIN
    return CHANCE


def recovery(
    which: GroupId, groups: Groups, measured: Measured, start: str, confidence: float = CONFIDENCE
) -> stats.Interval | None:
    """Of the cells of an attack on one method, from the baseline ``start``; None where it is not defined.

    A model that never knew is taken to answer none of the forget set word by word, where there is no twin.
    """
    seeds, original = groups[which].ok(), groups.control(which, ORIGINAL).facts(measured)
    if start == RETRAIN:
        never_knew = groups.control(which, RETRAIN).facts(measured)
    else:
        plain = measured == (FORGET, seeds.note("forget_metric"))
        level = seeds.note("chance") if plain else 0.0
        if level is None:
            return None
        never_knew = {seed: dict.fromkeys(facts, level) for seed, facts in original.items()}
    return stats.recovery(seeds.facts(measured), original, never_knew, confidence)


def highest(
    plain: Mapping[A, stats.Interval], again: Callable[[A, float], stats.Interval | None]
) -> tuple[A, stats.Interval]:
    """The highest of several shares, with a 95 % interval for the highest of the *true* ones.

    As :func:`ranking.worst` has it: the upper end is the highest one, and the lower end the highest of those
    that may be the highest, which share the error. ``again`` gives an interval at another confidence. Where
    all facts agree it has no width. ``plain`` is not empty.
    """
    sure = {name: _sure(interval) for name, interval in plain.items()}
    top = max(sure, key=lambda name: sure[name].mean)
    rivals = ranking.contenders(sure)
    lows = [sure[rival].low for rival in rivals]
    if len(rivals) > 1:
        shared = [again(rival, 1 - ranking.LEVEL / len(rivals)) for rival in rivals]
        lows = [_sure(interval).low for interval in shared if interval is not None]
    ends = [low for low in lows if low is not None], [s.high for s in sure.values() if s.high is not None]
    return top, stats.Interval(sure[top].mean, max(ends[0]), max(ends[1]), sure[top].n)


def _sure(interval: stats.Interval) -> stats.Interval:
    """The interval, of width 0 where it has none."""
    value, low, high, n = interval
    return stats.Interval(value, value if low is None else low, value if high is None else high, n)
