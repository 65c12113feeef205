"""Recovery: what an attack brought back, against the same attack on the original and on what never knew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from ..core.names import EVALUATION, ORIGINAL, RETRAIN
from . import ranking, stats
from .columns import Estimate
from .groups import FORGET, Groups, Measured
from .identity import GroupId, TargetId
from .moments import deviations

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


class Compared(NamedTuple):
    """The values of each fact after one attack: of a method, of the original, and of the baseline."""

    attacked: stats.BySeed
    original: stats.BySeed
    never_knew: stats.BySeed
    clusters: stats.Clusters

    def recovery(self) -> stats.Interval | None:
        """With its 95 % interval; None where it is not defined."""
        return stats.recovery(*self)


def compared(which: GroupId, groups: Groups, measured: Measured, start: str) -> Compared:
    """The cells of an attack on one method, with the baseline ``start``.

    A model that never knew is taken to answer none of the forget set word by word, where there is no twin.
    """
    seeds, control = groups[which].ok(), groups.control(which, ORIGINAL)
    original = control.facts(measured)
    if start == RETRAIN:
        never_knew = groups.control(which, RETRAIN).facts(measured)
    else:
        plain = measured == (FORGET, seeds.note("forget_metric"))
        level = seeds.note("chance") if plain else 0.0
        known = {} if level is None else original
        never_knew = {seed: dict.fromkeys(facts, level) for seed, facts in known.items()}
    return Compared(seeds.facts(measured), original, never_knew, control.clusters(measured))


def highest(attacks: Mapping[A, Compared]) -> tuple[A, Estimate] | None:
    """The attack that brought back most, with a 95 % interval for the highest of the *true* shares.

    As :func:`ranking.worst` has it, of what each fact adds to the error of a recovery. That of a control is
    certain.
    """
    shares = {attack: share for attack, each in attacks.items() if (share := each.recovery())}
    if not shares:
        return None
    top = max(shares, key=lambda attack: shares[attack].mean)
    value, low, high, _ = shares[top]
    if low is None or high is None:
        return top, Estimate(value, value, value)
    samples = [values for attack in shares for values in attacks[attack][:3]]
    clusters = {fact: own for attack in shares for fact, own in attacks[attack].clusters.items()}
    y, of = stats.aligned(*samples), stats.numbered(clusters, *samples)
    y = y.reshape(len(shares), 3, *y.shape[1:])
    rivals, tail = ranking.may_be_highest(deviations(stats.shares(y, of)), of)
    _, lows, _, _ = stats.recoveries(y[rivals], of, 1 - 2 * tail)
    _, _, highs, _ = stats.recoveries(y[rivals], of)
    return top, Estimate(value, float(lows.max()), float(highs.max()))
