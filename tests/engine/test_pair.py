"""What two ready models score says whether they are an original and its twin."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.core.intervals import difference_interval
from harness.core.types import Sample
from harness.engine.pair import Pair
from harness.engine.source import Source
from harness.errors import ModelError

PAIR = Pair(Source("org/full"), Source("org/retain", revision="v2"))
KNOWN, UNKNOWN = [1.0] * 20, [0.0] * 20


def samples(forget, retain=KNOWN, clusters=None):
    """The samples of a model with these values on the facts of the two splits, and others in between."""
    return [
        sample
        for split, values in (("forget", forget), ("retain", retain))
        for i, value in enumerate(values)
        for sample in (
            Sample(split, "exact", f"{split}{i}", value, clusters[i] if clusters else ""),
            Sample(split, "other", f"{split}{i}", 1.0 - value),
        )
    ]


def check(original, retrain):
    return PAIR.check_scores("b", ("forget", "exact"), ("retain", "exact"), original, retrain)


def known(count):
    return [float(i < count) for i in range(20)]


@pytest.mark.parametrize("forget", [KNOWN, known(6)])
def test_a_pair_of_which_one_never_knew_is_one(forget):
    assert check(samples(forget), samples(UNKNOWN)) is None


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_some_facts_more_may_be_chance(count):
    with pytest.raises(ModelError, match="know the forget set alike, so nothing can be learned"):
        check(samples(known(count)), samples(UNKNOWN))


def test_facts_of_one_subject_count_together():
    subjects = [f"s{i // 6}" for i in range(20)]
    with pytest.raises(ModelError, match="alike"):
        check(samples(known(6), clusters=subjects), samples(UNKNOWN, clusters=subjects))


def test_an_exchanged_pair_is_told_with_both_names_and_scores():
    with pytest.raises(ModelError) as raised:
        check(samples(known(1)), samples(known(15)))
    assert str(raised.value) == (
        "--original org/full and --retrain org/retain@v2 on b: they look exchanged: the second one knows the "
        "forget set better (exact 0.05 and 0.75). Give an original that was trained on it, and a twin that "
        "was not."
    )


@pytest.mark.parametrize(("kept", "warned"), [(20, False), (18, False), (17, False), (10, True), (0, True)])
def test_a_twin_may_know_a_tenth_less_of_the_rest(kept, warned):
    said = check(samples(KNOWN), samples(UNKNOWN, known(kept)))
    assert bool(said) == warned
    assert not said or f"(exact 1 and {kept / 20:.3g})" in said


def test_a_twin_may_know_more_of_the_rest():
    assert check(samples(KNOWN, known(10)), samples(UNKNOWN)) is None


def test_only_facts_that_both_were_asked_are_compared():
    assert check(samples(KNOWN), samples(UNKNOWN[:10])) is None
    assert check(samples([1.0]), samples([0.5])) is None


DRAWN = [0.2, -0.1, 0.7, 0.4, 0.4, 0.0, 1.0, 0.3]


def test_the_interval_of_a_difference_is_students():
    expected = stats.ttest_1samp(DRAWN, 0).confidence_interval(0.95)
    assert difference_interval(DRAWN, [f"{i}" for i in range(8)]) == pytest.approx(tuple(expected))
    assert difference_interval(DRAWN, ["one"] * 8) == pytest.approx(tuple(expected))


def test_the_interval_of_a_difference_over_clusters_is_that_of_their_means():
    """Clusters of one size: the mean of all is the mean of the clusters' means."""
    pairs = [(a + b) / 2 for a, b in zip(DRAWN[::2], DRAWN[1::2], strict=True)]
    expected = stats.ttest_1samp(pairs, 0).confidence_interval(0.95)
    assert difference_interval(DRAWN, [f"{i // 2}" for i in range(8)]) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("values", [[], [0.5], [1.0, 1.0], [0.1, float("inf")]])
def test_there_is_no_interval_without_a_spread(values):
    assert difference_interval(values, [f"{i}" for i in range(len(values))]) == (None, None)


def test_a_difference_that_is_no_number_is_not_taken_for_knowledge():
    with pytest.raises(ModelError, match="alike"):
        check(samples([float("nan"), 1.0]), samples([0.0, 0.0]))
