"""What a method leaves of the original's retain, utility and lm-eval score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    [found] = all_kept([(target, method)], groups)
    return found


def all_kept(methods: Sequence[tuple[TargetId, MethodId]], groups: Groups) -> list[dict[str, Share]]:
    """The same of each of several methods, at once."""
    found: list[dict[str, Share]] = []
    asked: list[tuple[int, str, tuple[Seeds, Seeds, Measured]]] = []
    for place, (target, method) in enumerate(methods):
        unlearned = groups.evaluation(target, method).ok()
        original = groups.control(GroupId.before(target, method), ORIGINAL)
        retain = tuple((unlearned or original).note("retain_metric") or ("", ""))
        found.append(dict.fromkeys(("retain", "utility"), Share()))
        asked.append((place, "retain", (unlearned, original, (retain[0], retain[1]))))
        asked.append((place, "utility", (unlearned, original, UTILITY_METRIC)))
        if (which := latest(target, method, groups)) is not None:
            seeds, of_original = groups[which].ok(), groups.control(which, ORIGINAL)
            if seeds.by_seed(LM_EVAL) or of_original.by_seed(LM_EVAL):
                asked.append((place, "lm-eval", (seeds, of_original, LM_EVAL)))
        elif _of_original(target, groups):
            found[place]["lm-eval"] = Share(measured=False)
    for (place, name, _), share in zip(asked, _shares([query for *_, query in asked]), strict=True):
        found[place][name] = share
    return found


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


def _of_original(target: TargetId, groups: Groups) -> bool:
    """Whether the original has a score of lm-eval."""
    there = groups.named(target, UTILITY, ORIGINAL)
    return any(groups[which].ok().by_seed(LM_EVAL) for which in there)


def _shares(queries: Sequence[tuple[Seeds, Seeds, Measured]]) -> list[Share]:
    """By fact and seed where both have the values of their facts in each seed, and otherwise by seed."""
    found, by_fact = [], []
    for seeds, original, measured in queries:
        values, reference = seeds.by_seed(measured), original.by_seed(measured)
        if not (values and reference):
            found.append(Share(measured=bool(values), original=bool(reference)))
            continue
        facts, of_original = seeds.facts(measured), original.facts(measured)
        if facts.keys() == values.keys() and of_original.keys() == reference.keys():
            by_fact.append((len(found), (facts, of_original), original.clusters(measured)))
            found.append(Share())
        else:
            found.append(_share(stats.share_of_values(values, reference)))
    shares = stats.all_shares([pair for _, pair, _ in by_fact], [clusters for *_, clusters in by_fact])
    for (place, *_), share in zip(by_fact, shares, strict=True):
        found[place] = _share(share)
    return found


def _share(share: stats.Interval | None) -> Share:
    return Share(known(share), original=share is not None)
