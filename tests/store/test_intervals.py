"""The quick interval is the interval of the numbers."""

from __future__ import annotations

import random

import pytest

from harness.core import intervals
from harness.store.intervals import mean_interval

DRAWN = random.Random(0)


@pytest.mark.parametrize("n", [1, 2, 3, 20, 400])
@pytest.mark.parametrize(
    "draw",
    [
        lambda: 0.0,
        lambda: 1.0,
        lambda: 0.3,
        lambda: float(DRAWN.random() < 0.3),
        lambda: DRAWN.random(),
        lambda: DRAWN.random() ** 9,
        lambda: DRAWN.gauss(1700, 300),
        lambda: DRAWN.choice([0.0, 1.0, 0.5]),
        lambda: -DRAWN.random(),
    ],
)
def test_it_is_what_the_engine_stores(n, draw):
    for _ in range(5):
        values = [draw() for _ in range(n)]
        expected = intervals.mean_interval(values)
        assert mean_interval(values) == (expected if None in expected else pytest.approx(expected, abs=1e-10))
