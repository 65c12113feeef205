"""What a method leaves of the original's retain, utility and lm-eval score."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.names import ORIGINAL, SCORE, UTILITY, UTILITY_METRIC
from . import stats
from .columns import Estimate
from .estimates import known
from .groups import Groups, Seeds
from .identity import GroupId, MethodId, TargetId
from .ranking import Share
from .reading import Measured

LM_EVAL = ("all", SCORE)
"""Split and metric of the mean over lm-eval's tasks."""


def kept(target: TargetId, method: MethodId, groups: Groups) -> dict[str, Share]:
    """By name, the share that is left; lm-eval where it was measured, of the method or of the original."""
    unlearned = groups.evaluation(target, method).ok()
    original = groups.control(GroupId.before(target, method), ORIGINAL)
    retain = tuple((unlearned or original).note("retain_metric") or ("", ""))
    shares = {
        "retain": _share(unlearned, original, (retain[0], retain[1])),
        "utility": _share(unlearned, original, UTILITY_METRIC),
    }
    if lm_eval := _lm_eval(target, method, groups):
        shares["lm-eval"] = lm_eval
    return shares


def least(shares: Mapping[str, Share]) -> tuple[str | None, Estimate]:
    """The lowest of the shares that are known, and its name."""
    values = {name: share.estimate for name, share in shares.items() if share.estimate.value is not None}
    if not values:
        return None, Estimate(None)
    name = min(values, key=lambda name: values[name].value or 0.0)
    return name, values[name]


def latest(target: TargetId, method: MethodId, groups: Groups) -> GroupId | None:
    """The latest cells of lm-eval of a method's models; its tasks may be others than before."""
    scored = groups.of_stage(target, method, UTILITY)
    return max(scored, key=lambda which: max(c.started_at for c in scored[which].values()), default=None)


def _lm_eval(target: TargetId, method: MethodId, groups: Groups) -> Share | None:
    which = latest(target, method, groups)
    if which is not None:
        seeds, original = groups[which].ok(), groups.control(which, ORIGINAL)
        there = seeds.by_seed(LM_EVAL) or original.by_seed(LM_EVAL)
        return _share(seeds, original, LM_EVAL) if there else None
    of_original = (groups[other].ok().by_seed(LM_EVAL) for other in groups.named(target, UTILITY, ORIGINAL))
    return Share(measured=False) if any(of_original) else None


def _share(seeds: Seeds, original: Seeds, measured: Measured) -> Share:
    """By fact and seed where both have the values of their facts in each seed, and otherwise by seed."""
    values, reference = seeds.by_seed(measured), original.by_seed(measured)
    if not (values and reference):
        return Share(measured=bool(values), original=bool(reference))
    facts, of_original = seeds.facts(measured), original.facts(measured)
    if facts.keys() == values.keys() and of_original.keys() == reference.keys():
        share = stats.share(facts, of_original, original.clusters(measured))
    else:
        share = stats.share_of_values(values, reference)
    return Share(known(share), original=share is not None)
