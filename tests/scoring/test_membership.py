"""Membership scores against the formula written out again, and the laws they must obey."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.types import TokenScores
from harness.scoring import membership

logprobs = st.lists(st.floats(-20, 0), min_size=1, max_size=12)
scores = st.lists(st.floats(-5, 5).map(lambda x: round(x, 1)), min_size=1, max_size=12)


def scored(values, means=None, deviations=None) -> TokenScores:
    arrays = [
        None if given is None else np.array(given, dtype=float) for given in (values, means, deviations)
    ]
    return TokenScores(arrays[0], np.zeros(len(values), dtype=bool), *arrays[1:])


def test_the_loss_is_per_token_and_zlib_divides_it_by_the_packed_answer():
    told = scored([-1.0, -2.0, -6.0])
    assert membership.mia_loss(told) == pytest.approx(3.0)
    text = "The author's full name is Hsiao Yun-Hwa. " * 3
    assert membership.mia_zlib(told, text) == pytest.approx(3.0 / len(zlib.compress(text.encode("utf-8"))))


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 1), (4, 1), (5, 2), (7, 2), (8, 3), (10, 4)])
def test_min_k_takes_the_lowest_four_tenths_rounded_down_and_one_at_least(n, count):
    values = [-float(i) for i in range(n)]
    assert membership.mia_min_k(scored(values)) == pytest.approx(-np.mean(sorted(values)[:count]))


@given(logprobs)
def test_min_k_is_never_below_the_loss(values):
    assert membership.mia_min_k(scored(values)) >= membership.mia_loss(scored(values)) - 1e-12


@given(logprobs)
def test_min_k_plus_plus_of_a_standard_spread_is_min_k(values):
    plain = scored(values, means=[0.0] * len(values), deviations=[1.0] * len(values))
    assert membership.mia_min_k_plus_plus(plain) == pytest.approx(membership.mia_min_k(plain))


def test_min_k_plus_plus_sorts_what_it_has_normalised():
    told = scored([-1.0, -9.0, -3.0, -2.0, -2.0], [-1.0, -8.0, -1.0, -2.0, -4.0], [1.0, 4.0, 2.0, 1.0, 1.0])
    # z = 0, -1/4, -1, 0, 2: the lowest two of five.
    assert membership.mia_min_k_plus_plus(told) == pytest.approx((1 + 0.25) / 2)


def test_a_certain_model_does_not_divide_by_nothing():
    sure = scored([0.0, -2.0], means=[0.0, 0.0], deviations=[0.0, 0.0])
    assert membership.mia_min_k_plus_plus(sure) == pytest.approx(2.0 / math.sqrt(1e-6))


def test_what_cannot_be_computed_is_an_error_and_not_a_number():
    with pytest.raises(ValueError, match="spread=True"):
        membership.mia_min_k_plus_plus(scored([-1.0]))
    with pytest.raises(ValueError, match="empty"):
        membership.mia_min_k(scored([]))
    with pytest.raises(ValueError, match="both kinds"):
        membership.auc([1.0], [])
    with pytest.raises(ValueError, match="no scale"):
        membership.privleak(0.5, 1.0)


@settings(deadline=None)  # the first call imports what it needs
@given(scores, scores)
def test_auc_counts_pairs(forget, holdout):
    won = sum((h > f) + (h == f) / 2 for f in forget for h in holdout)
    assert membership.auc(forget, holdout) == pytest.approx(won / (len(forget) * len(holdout)))


@given(scores, scores)
def test_auc_of_the_two_swapped_is_the_rest(forget, holdout):
    assert membership.auc(forget, holdout) + membership.auc(holdout, forget) == pytest.approx(1)


def test_privleak_is_zero_for_the_twin_and_below_it_for_what_is_still_known():
    assert membership.privleak(0.6, 0.6) == 0
    assert membership.privleak(1.0, 0.5) == -100
    assert membership.privleak(0.2, 0.5) == pytest.approx(((1 - 0.2) - (1 - 0.5)) / (1 - 0.5) * 100)
