"""Each metric against the formula written out again, and the laws it must obey."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.formulas import FORMULAS
from harness.core.types import TokenScores
from harness.scoring import (
    membership,  # noqa: F401 (describes its formulas)
    metrics,
)


def scored(*probabilities: float, hits: list[bool] | None = None) -> TokenScores:
    with np.errstate(divide="ignore"):
        logprobs = np.log(np.array(probabilities, dtype=np.float64))
    return TokenScores(
        logprobs, np.array(hits if hits is not None else [p > 0.5 for p in probabilities], dtype=bool)
    )


answers = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=6).map(lambda values: scored(*values))


def test_mean_loss_is_the_negative_mean_log_probability():
    assert metrics.mean_loss(scored(0.5, 0.25)) == pytest.approx((math.log(2) + math.log(4)) / 2, abs=1e-15)


def test_probability_is_the_geometric_mean_over_labels():
    assert metrics.probability(scored(0.5, 0.25, 0.8)) == pytest.approx(
        (0.5 * 0.25 * 0.8) ** (1 / 3), abs=1e-15
    )


def test_nothing_scored_is_an_error_and_not_a_number():
    for metric in (metrics.mean_loss, metrics.exact_memorisation, metrics.extraction_strength):
        with pytest.raises(ValueError, match="empty"):
            metric(scored())


def test_float32_scores_are_summed_in_float64():
    many = TokenScores(np.full(100_000, -0.1, dtype=np.float32), np.ones(100_000, dtype=bool))
    assert metrics.mean_loss(many) == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_normalised_probability_is_the_share_of_the_right_answer():
    right, one, two = scored(0.5, 0.5), scored(0.2), scored(0.1, 0.4, 0.1)
    expected = 0.5 / (0.5 + 0.2 + (0.1 * 0.4 * 0.1) ** (1 / 3))
    assert metrics.probability_normalised(right, one, two) == pytest.approx(expected, abs=1e-15)


def test_normalised_probability_survives_tiny_and_impossible_answers():
    tiny = TokenScores(np.array([-2000.0]), np.array([False]))
    assert metrics.probability_normalised(tiny, tiny, tiny, tiny) == pytest.approx(0.25)
    assert metrics.probability_normalised(scored(0.0), scored(0.5)) == 0.0
    assert metrics.probability_normalised(scored(0.0), scored(0.0)) == 0.0


@given(answers, st.lists(answers, min_size=1, max_size=4))
def test_normalised_probability_shares_add_up_to_one(right, wrongs):
    everyone = [right, *wrongs]
    shares = [
        metrics.probability_normalised(everyone[i], *everyone[:i], *everyone[i + 1 :])
        for i in range(len(everyone))
    ]
    assert math.fsum(shares) == pytest.approx(1.0)


def lcs(a: list[str], b: list[str]) -> int:
    if not a or not b:
        return 0
    return lcs(a[:-1], b[:-1]) + 1 if a[-1] == b[-1] else max(lcs(a[:-1], b), lcs(a, b[:-1]))


words = st.lists(st.sampled_from(["cat", "sky", "red", "up"]), min_size=1, max_size=6)


@settings(deadline=None)  # the first call imports rouge_score
@given(words, words)
def test_rouge_l_recall_is_the_longest_common_subsequence_over_the_gold_length(text, gold):
    assert metrics.rouge_l_recall(" ".join(text), " ".join(gold)) == pytest.approx(
        lcs(text, gold) / len(gold)
    )


def test_rouge_l_recall_stems_and_does_not_punish_length():
    assert metrics.rouge_l_recall("She was painting many red houses, they say.", "painted red house") == 1.0
    assert metrics.rouge_l_recall("", "painted red house") == 0.0


@pytest.mark.parametrize("text", ["Paris", " paris.", "PARIS \n", "Paris ."])
def test_exact_match_ignores_case_space_and_a_final_full_stop(text):
    assert metrics.exact_match(text, "Paris") == 1.0


@pytest.mark.parametrize("text", ["", "Paris, France", "Par is", "Paris.."])
def test_exact_match_refuses_anything_else(text):
    assert metrics.exact_match(text, "Paris") == 0.0


def test_the_right_option_must_win_strictly_on_the_sum():
    assert metrics.option_correct(scored(0.5, 0.5), scored(0.2), scored(0.1)) == 1.0
    assert metrics.option_correct(scored(0.5, 0.5), scored(0.3)) == 0.0  # the sum, not the mean
    assert metrics.option_correct(scored(0.4), scored(0.4), scored(0.1)) == 0.0  # a tie
    assert metrics.option_correct(scored(math.nan), scored(0.4)) == 0.0


def test_the_lowest_loss_counts_per_token():
    assert metrics.lowest_loss(scored(0.5, 0.5), scored(0.3)) == 1.0
    assert metrics.lowest_loss(scored(0.4), scored(0.4)) == 0.0


def test_truth_ratio_is_the_ratio_of_geometric_means():
    right, wrong = scored(0.5, 0.8), (scored(0.1), scored(0.2, 0.4, 0.3))
    mean_log = (math.log(0.1) + math.log(0.2 * 0.4 * 0.3) / 3) / 2
    r = math.exp(mean_log) / math.sqrt(0.5 * 0.8)
    assert metrics.truth_ratio(right, *wrong) == pytest.approx(r, abs=1e-15)
    assert metrics.log_truth_ratio(right, *wrong) == pytest.approx(math.log(r), abs=1e-14)
    assert metrics.truth_ratio_forget(right, *wrong) == pytest.approx(r, abs=1e-15)
    assert metrics.truth_ratio_other(right, *wrong) == pytest.approx(1 - r, abs=1e-15)


@given(answers, st.lists(answers, min_size=1, max_size=4))
def test_truth_ratio_aggregates_follow_from_r(right, wrong):
    r = metrics.truth_ratio(right, *wrong)
    assert metrics.truth_ratio_forget(right, *wrong) == pytest.approx(min(r, 1 / r))
    assert metrics.truth_ratio_other(right, *wrong) == pytest.approx(max(0, 1 - r), abs=1e-12)


def test_knowledge_is_the_share_of_the_truth():
    right, wrong = scored(0.5, 0.8), (scored(0.1), scored(0.2, 0.4, 0.3))
    c, w = math.sqrt(0.5 * 0.8), math.sqrt(0.1 * (0.2 * 0.4 * 0.3) ** (1 / 3))
    assert metrics.truth_ratio_knowledge(right, *wrong) == pytest.approx(c / (c + w), abs=1e-15)
    assert metrics.truth_ratio_knowledge(right, right) == 0.5
    assert metrics.truth_ratio_knowledge(TokenScores(np.array([-1e5]), np.array([False])), right) == 0


def test_mem_is_low_as_soon_as_one_of_four_says_memorised():
    assert metrics.mem(0.5, 0.2, 0.1, 0.6) == pytest.approx(4 / (1 / 0.5 + 1 / 0.8 + 1 / 0.9 + 1 / 0.4))
    assert metrics.mem(0, 0, 0, 0) == 1
    assert metrics.mem(0, 0, 1, 0) == 0


def chance_of_the_distance(own: list[float], twin: list[float]) -> float:
    """Of all ways to deal the values to two models, the share that sets them as far apart."""

    def distance(mine: set[int], values: list[float]) -> Fraction:
        n, m = len(mine), len(values) - len(mine)
        most = Fraction(0)
        for bound in values:
            below = [i for i, value in enumerate(values) if value <= bound]
            own_below = sum(i in mine for i in below)
            most = max(most, abs(Fraction(own_below, n) - Fraction(len(below) - own_below, m)))
        return most

    values = [*own, *twin]
    seen = distance(set(range(len(own))), values)
    ways = list(itertools.combinations(range(len(values)), len(own)))
    return sum(distance(set(way), values) >= seen for way in ways) / len(ways)


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.5, 9.0])
def test_forget_quality_is_the_exact_p_of_the_distance_of_two_distributions(shift):
    rng = np.random.default_rng(0)
    own, twin = (rng.normal(size=5) + shift).tolist(), rng.normal(size=5).tolist()
    expected = chance_of_the_distance(own, twin)
    assert metrics.forget_quality(own, twin) == pytest.approx(expected, abs=1e-12)
    assert metrics.log10_forget_quality(own, twin) == pytest.approx(math.log10(expected), abs=1e-9)


def test_forget_quality_looks_at_ranks_only_and_goes_down_to_what_is_published():
    r = np.random.default_rng(1).uniform(0.1, 2, size=(2, 400))
    assert metrics.forget_quality(*r) == metrics.forget_quality(*np.log(r))
    assert metrics.forget_quality(r[0], r[0]) == 1
    assert metrics.log10_forget_quality(r[0], r[1] + 9) == pytest.approx(-239, abs=1)
    assert metrics.log10_forget_quality(np.zeros(900), np.ones(900)) == -math.inf


def test_every_range_says_where_its_ends_are():
    said = {name: formula.range for name, formula in FORMULAS.items()}
    assert said["probability"] == "[0, 1]"
    assert said["log_truth_ratio"] == "(-inf, inf)"
    assert said["log10_forget_quality"] == "(-inf, 0]"
    assert said["privleak"] == "[-100, inf)"


def test_truth_ratio_survives_what_a_wrecked_model_says():
    sure, wrecked = scored(0.9), TokenScores(np.array([-1e5]), np.array([False]))
    assert metrics.truth_ratio(wrecked, sure) == math.inf
    assert metrics.truth_ratio_forget(wrecked, sure) == 0.0
    assert metrics.truth_ratio_other(wrecked, sure) == 0.0
    assert metrics.truth_ratio(sure, wrecked) == 0.0
    assert metrics.truth_ratio_other(sure, wrecked) == 1.0
    impossible = scored(0.0)
    assert metrics.truth_ratio(impossible, impossible) == 1.0


def brute_force_extraction(hits: list[bool]) -> float:
    n = len(hits)
    return 1 - next(k for k in range(n + 1) if all(hits[k:])) / n


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_extraction_strength_and_memorisation_count_hits(hits):
    scores = scored(*[0.3] * len(hits), hits=hits)
    assert metrics.extraction_strength(scores) == pytest.approx(brute_force_extraction(hits))
    assert metrics.exact_memorisation(scores) == pytest.approx(sum(hits) / len(hits))
    assert metrics.extraction_strength(scores) <= metrics.exact_memorisation(scores) + 1e-12


def test_harmonic_mean_by_hand():
    assert metrics.harmonic_mean([0.5, 0.25, 1.0]) == pytest.approx(3 / 7)
    assert metrics.harmonic_mean(iter([1.0, 0.0])) == 0.0


@pytest.mark.parametrize("values", [[], [0.5, -0.1]])
def test_harmonic_mean_refuses_what_has_none(values):
    with pytest.raises(ValueError, match="harmonic mean"):
        metrics.harmonic_mean(values)


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=9))
def test_harmonic_mean_lies_between_the_least_and_the_mean(values):
    found = metrics.harmonic_mean(values)
    assert min(values) - 1e-12 <= found <= sum(values) / len(values) + 1e-12
