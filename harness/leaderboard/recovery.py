"""Recovery: what an attack brought back, against the same attack on the original and on what never knew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from ..core.names import EVALUATION, ORIGINAL, RETRAIN
from . import arrays, ranking, stats
from .columns import Estimate
from .estimates import mean
from .groups import Groups
from .identity import GroupId, TargetId
from .moments import deviations
from .reading import FORGET, Measured

CHANCE = "chance"
"""The baseline of a target that has no twin; otherwise it is the control ``retrain``."""

TWIN = "twin"
"""The rule of a threshold that is the twin's score."""

LEAST_LEFT = 0.5
"""Least share of what the original knows above the baseline that an attack must leave in the original itself.

Where it wrecks more, recovery is a ratio of two small numbers and says little of what can be brought back."""


def baselines(groups: Groups) -> dict[TargetId, str]:
    """By target what recovery is measured from: the twin if there is one, whether or not it was run."""
    found: dict[TargetId, str] = {}
    for which, seeds in groups.items():
        twin = which.method.method == RETRAIN or (
            which.stage == EVALUATION and seeds.note("threshold_rule") == TWIN
        )
        if twin or which.target not in found:
            found[which.target] = RETRAIN if twin else CHANCE
    return found


def _level(by_seed: arrays.BySeed) -> float | None:
    """The mean over seeds of the mean over facts."""
    if isinstance(by_seed, arrays.Sampled) and by_seed.whole:
        return float(by_seed.whole[2].mean())
    return mean(fmean(facts.values()) for facts in by_seed.values())


class Compared(NamedTuple):
    """The values of each fact after one attack: of a method, of the original, and of the baseline."""

    attacked: arrays.BySeed
    original: arrays.BySeed
    never_knew: arrays.BySeed
    clusters: arrays.Clusters

    def recovery(self) -> stats.Interval | None:
        """With its 95 % interval; None where it is not defined."""
        return stats.recovery(*self)

    def gap(self) -> float | None:
        """How far the original is above what never knew; None where one of them has no values."""
        original, never_knew = (_level(each) for each in (self.original, self.never_knew))
        return None if original is None or never_knew is None else original - never_knew

    def leaves_enough(self, before: float | None) -> bool:
        """Whether enough of the original's gap ``before`` any attack is left that recovery counts.

        It depends on the controls alone: no method has a say in which attacks count for it.
        """
        gap = self.gap()
        return before is None or gap is None or gap >= LEAST_LEFT * before


def compared(which: GroupId, groups: Groups, measured: Measured, start: str) -> Compared:
    """The cells of an attack on one method, with the baseline ``start``.

    A model that never knew is taken to answer none of the forget set word by word, where there is no twin.
    """
    asked = which, measured, start
    if asked not in groups.compared:
        groups.compared[asked] = _compared(which, groups, measured, start)
    known: Compared = groups.compared[asked]
    return known


def _compared(which: GroupId, groups: Groups, measured: Measured, start: str) -> Compared:
    seeds, control = groups[which].ok(), groups.control(which, ORIGINAL)
    original = control.facts(measured)
    if start == RETRAIN:
        never_knew = groups.control(which, RETRAIN).facts(measured)
    else:
        plain = measured == (FORGET, seeds.note("forget_metric"))
        level = seeds.note("chance") if plain else 0.0
        known = {} if level is None else original
        never_knew = arrays.Sampled({seed: own.filled(level) for seed, own in known.items()})
    return Compared(seeds.facts(measured), original, never_knew, control.clusters(measured))


class Counting(NamedTuple):
    """The recoveries of a method under the attacks that count, which are all known, and what they are of."""

    shares: Mapping[GroupId, Estimate]
    attacks: Mapping[GroupId, Compared]

    @property
    def samples(self) -> list[arrays.BySeed]:
        """The three of each attack."""
        return [each for attack in self.attacks.values() for each in attack[:3]]

    @property
    def clusters(self) -> arrays.Clusters:
        """What the facts of all attacks are grouped by."""
        return arrays.one_of([attack.clusters for attack in self.attacks.values()])


def highest(methods: Sequence[Counting]) -> list[tuple[GroupId, Estimate] | None]:
    """The attack that brought back most, with a 95 % interval for the highest of the *true* shares.

    As :func:`ranking.worst` has it, of what each fact adds to the error of a recovery. That of a control is
    certain. Of each of several methods, at once for those of one shape; None where no attack counts.
    """
    found: list[tuple[GroupId, Estimate] | None] = [None] * len(methods)
    tops: dict[int, GroupId] = {}
    for place, (shares, _) in enumerate(methods):
        if shares:
            tops[place] = top = max(
                shares, key=lambda which: round(shares[which].value or 0.0, ranking.EQUAL)
            )
            found[place] = top, Estimate(*[shares[top].value] * 3)
    asked = [place for place, top in tops.items() if methods[place].shares[top].low is not None]
    samples, clusters = ([getattr(methods[i], name) for i in asked] for name in ("samples", "clusters"))
    for places, y, of in arrays.alike(samples, clusters):
        y = y.reshape(len(places), -1, 3, *y.shape[2:])
        found_of = ratio, _, base = stats.ratios(y, of)
        rivals, tail = ranking.may_be_highest(deviations(stats.shares(y, ratio, base)), of)
        lows = ranking.of_rivals(stats.share_limits(*found_of, 1 - 2 * tail[:, None])[0], rivals)
        highs = ranking.of_rivals(stats.share_limits(*found_of)[1], rivals)
        for at, low, high in zip(places, lows.tolist(), highs.tolist(), strict=True):
            place, top = asked[at], tops[asked[at]]
            found[place] = top, Estimate(methods[place].shares[top].value, low, high)
    return found
