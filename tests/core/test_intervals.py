"""Intervals are SciPy's to the last digit, without the time that its module of statistics takes to import."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from harness.core.intervals import binomial_interval, mean_interval


@pytest.mark.parametrize("confidence", [0.95, 0.9, 1 - 2 * 0.0123])
def test_a_share_has_wilsons_interval(confidence):
    for n in (1, 2, 3, 20, 64, 399):
        for k in {0, 1, n // 3, n // 2, n - 1, n}:
            bounds = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
            assert binomial_interval(k, n, confidence) == (bounds.low, bounds.high)


@pytest.mark.parametrize("n", [2, 3, 40, 399])
def test_a_mean_has_students_interval(n):
    draw = random.Random(n)
    values = [draw.gauss(5, 2) for _ in range(n)]
    bounds = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((bounds.low, bounds.high), rel=1e-13)
