"""An aggregate of several means has the interval that its facts give it, by the delta method."""

from __future__ import annotations

from statistics import fmean, harmonic_mean

import numpy as np
import pytest

from harness.core.names import GRADIENT, UTILITY_METRIC
from harness.core.types import Metric, Outcome
from harness.leaderboard import delta, kept, stats
from harness.leaderboard.groups import grouped
from harness.store.store import Store, tables
from support import crossed
from support.cells import cell
from support.sound import scored, together

PARTS = (("test", "accuracy"), ("forget", "other"), ("test", "hops"))
"""Two of them are of the same facts."""


def of_means(facts):
    return harmonic_mean([fmean(facts[part].values()) for part in PARTS])


def slope(facts):
    """d n / sum(1/m) / dm_j = n / (m_j sum(1/m))^2."""
    means = {part: fmean(facts[part].values()) for part in PARTS}
    total = sum(1 / mean for mean in means.values())
    return {part: len(PARTS) / (mean * total) ** 2 for part, mean in means.items()}


def made_up(rng, facts=40):
    common = rng.random(facts)
    return {
        ("test", "accuracy"): {f"{f}": float(rng.random() < 0.4 + common[f] / 2) for f in range(facts)},
        ("test", "hops"): {f"{f}": float(rng.random() < 0.2 + common[f] / 2) for f in range(facts)},
        ("forget", "other"): {f"{f}": float(rng.random() < 0.8) for f in range(facts // 2)},
    }


def variance(says):
    """Of the mean of what facts say."""
    values = np.array(list(says.values()))
    return values.var(ddof=1) / len(values)


def left_out(facts):
    """The jackknife's variance: each fact of each split is left out in turn."""
    total = 0.0
    for split in ("test", "forget"):
        names = {fact for part in PARTS if part[0] == split for fact in facts[part]}
        without = [
            of_means(
                {
                    part: {f: v for f, v in own.items() if (part[0], f) != (split, name)}
                    for part, own in facts.items()
                }
            )
            for name in names
        ]
        total += (len(names) - 1) / len(names) * sum((u - fmean(without)) ** 2 for u in without)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_what_facts_say_has_the_mean_of_the_aggregate_and_the_spread_of_the_jackknife(seed):
    facts = made_up(np.random.default_rng(seed))
    says = delta.of_facts(of_means(facts), slope(facts), facts)
    assert fmean(says.values()) == pytest.approx(of_means(facts), abs=1e-12)
    assert len(says) == 60
    assert variance(says) == pytest.approx(left_out(facts), rel=0.08)


def test_of_one_mean_they_say_its_own_values():
    facts = {("retain", "accuracy"): {"a": 1.0, "b": 0.0, "c": 0.5}}
    says = delta.of_facts(0.5, {("retain", "accuracy"): 1.0}, facts)
    assert says == {("retain", fact): value for fact, value in facts["retain", "accuracy"].items()}


def test_without_the_facts_of_a_part_nothing_is_said():
    facts = made_up(np.random.default_rng(0))
    assert delta.of_facts(0.5, slope(facts), {**facts, PARTS[1]: {}}) == {}


def test_the_interval_holds_the_truth():
    """Of shares of right answers that subjects have in common, under three seeds."""
    rng, held = np.random.default_rng(5), []
    truth = harmonic_mean([0.8, 0.6])
    for _ in range(300):
        of = crossed.clusters(rng, 40, 1, 5)
        one, other = (
            (crossed.normal(rng, 1, 3, of, 0.3, (0.8, 0.2, 0.57))[0] / 1.002 < level).astype(float)
            for level in (0.8416, 0.2533)
        )
        by_seed = {}
        for s in range(3):
            facts = {
                (split, "right"): {f"{f}": float(v) for f, v in enumerate(y[s])}
                for split, y in (("a", one), ("b", other))
            }
            means = [fmean(own.values()) for own in facts.values()]
            g = {p: 2 / (m * sum(1 / n for n in means)) ** 2 for p, m in zip(facts, means, strict=True)}
            says = delta.of_facts(harmonic_mean(means), g, facts)
            by_seed[s] = {"/".join(fact): value for fact, value in says.items()}
        clusters = {f"{split}/{f}": f"subject {c}" for split in "ab" for f, c in enumerate(of)}
        found = stats.two_level_interval(by_seed, clusters=clusters)
        held.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(held) <= 0.985


def of_method(method, seed):
    """An evaluation whose utility is what its retained facts say."""
    right = [1.0] * 9 + [0.0] if method == "none" else [1.0] * 8 + [0.0] * 2
    row, outcome = cell(method, seed=seed, notes={GRADIENT: {"utility": {"retain": {"accuracy": 0.6}}}})
    measured = outcome.metrics[:-2]
    retained = scored("retain", "accuracy", right)
    useful = Outcome([Metric(*UTILITY_METRIC, 0.6 * fmean(right))])
    forget = [sample for sample in outcome.samples if sample.split == "forget"]
    return row, together(Outcome(measured, forget), retained, useful)


def test_a_share_of_utility_has_an_interval_over_facts(tmp_path):
    store = Store(tmp_path)
    for method in ("none", "gd"):
        for seed in range(3):
            store.commit(*of_method(method, seed))
    groups = grouped(*tables([store]))
    which = next(which for which in groups if which.method.method == "gd")
    shares = kept.kept(which.target, which.method, groups)
    assert shares["utility"].estimate.value == pytest.approx(8 / 9)
    # The same facts under each seed: seeds alone have no spread, and the interval is that of the retain set.
    assert shares["utility"].estimate.low is not None
    assert shares["utility"].estimate == pytest.approx(shares["retain"].estimate)
