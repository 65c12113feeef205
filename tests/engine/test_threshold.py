"""What counts as forgotten: the twin's own score with its noise, what the benchmark says, or chance."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from harness.core.types import Sample, Splits
from harness.engine.threshold import Threshold, threshold
from harness.engine.unlearning import unlearn
from harness.errors import HarnessError


def scored(values, clusters=()):
    pairs = zip(values, clusters or [""] * len(values), strict=True)
    samples = [Sample("forget", "exact_match", f"f{i}", v, c) for i, (v, c) in enumerate(pairs)]
    return [*samples, Sample("forget", "probability", "f0", 0.9), Sample("retain", "exact_match", "r", 1.0)]


@pytest.fixture
def benchmark(toy_benchmark):
    class Open(toy_benchmark):
        def threshold(self, splits):
            return None

        def chance(self, splits):
            return 0.2

    return Open()


def test_it_is_the_twins_own_score_and_the_noise_of_it(benchmark):
    values = [0.0, 0.5, 1.0, 0.25]
    found = threshold(benchmark, Splits({}), scored(values))
    half = stats.t.ppf(0.975, 3) * stats.sem(values)
    assert found.rule == "twin"
    assert found.value == pytest.approx(sum(values) / 4)
    assert found.high == pytest.approx(min(1.0, sum(values) / 4 + half))


def test_facts_about_one_subject_are_not_taken_for_independent(benchmark):
    values = [0.4, 0.42, 0.58, 0.6, 0.49, 0.51, 0.45, 0.55, 0.5, 0.5]
    apart = threshold(benchmark, Splits({}), scored(values))
    together = threshold(benchmark, Splits({}), scored(values, [*"aabbccddee"]))
    # Five subjects: sums of residuals -.18, .18, 0, 0, 0; C/(C-1) = 5/4, four degrees of freedom.
    half = stats.t.ppf(0.975, 4) * math.sqrt(5 / 4 * (0.18**2 + 0.18**2)) / 10
    assert together.value == apart.value == pytest.approx(0.5)
    assert together.high == pytest.approx(0.5 + half)
    assert apart.high < together.high


def test_of_two_subjects_the_noise_is_that_of_their_facts(benchmark):
    """As in TOFU's forget01: an interval over two authors would reach 1, and everything be forgotten."""
    values = [0.4, 0.42, 0.58, 0.6]
    apart = threshold(benchmark, Splits({}), scored(values))
    assert threshold(benchmark, Splits({}), scored(values, [*"aabb"])) == apart
    assert apart.high < 0.7


def test_without_a_twin_it_is_chance(benchmark):
    assert threshold(benchmark, Splits({}), None) == Threshold(0.2, 0.2, "chance")


def test_what_the_benchmark_says_wins_and_has_no_noise(toy_benchmark):
    assert threshold(toy_benchmark(stop=0.3), Splits({}), scored([0.9])) == Threshold(0.3, 0.3, "benchmark")


def test_a_twin_without_the_forget_metric_is_an_error(benchmark):
    with pytest.raises(HarnessError, match="has no 'exact_match' on the forget set of 'toy'"):
        threshold(benchmark, Splits({}), [Sample("forget", "probability", "f0", 0.9)])


@pytest.fixture
def job_of(make_subject, benchmark, toy_splits):
    """Unlearn for two looks with scripted forget scores, against a twin at .25 +- noise."""
    from harness.methods.gd import GradientDifference

    def run(*scores):
        left = [1.0, *scores]
        twin = [
            Sample("forget", "exact_match", fact.id, float(i < 3))
            for i, fact in enumerate(toy_splits["forget"])
        ]
        now = {"value": 1.0, "asked": 0}

        def value(split, metric, fact):
            if now["asked"] % len(toy_splits["forget"]) == 0:
                now["value"] = left.pop(0)
            now["asked"] += 1
            return now["value"]

        benchmark.value = value
        benchmark.curve_metrics = ("exact_match",)
        subject = make_subject(benchmark, twin=twin)
        config = GradientDifference.Config(
            learning_rates=(1e-5, 1e-4), epochs=1, batch_size=6, warmup_epochs=0.0
        )
        return unlearn(subject, GradientDifference(config), 0), left

    return run


def test_unlearning_stops_at_the_score_of_the_twin(job_of):
    job, left = job_of(0.25, 0.0)
    assert (job.notes["stop_at"], job.notes["steps"], job.notes["forgotten"]) == (0.25, 1, True)
    assert left == [0.0]


def test_a_rate_that_ends_within_the_noise_of_the_twin_counts(job_of):
    job, left = job_of(0.9, 0.5, 0.0, 0.0)  # Wilson's upper end of 3 in 12 is .53
    assert (job.notes["steps"], job.notes["learning_rate"], job.notes["forgotten"]) == (2, 1e-5, True)
    assert left == [0.0, 0.0]


def test_a_rate_that_ends_above_it_gives_way_to_the_next(job_of):
    job, left = job_of(0.9, 0.6, 0.2)
    assert (job.notes["steps"], job.notes["learning_rate"], job.notes["forgotten"]) == (1, 1e-4, True)
    assert left == []
