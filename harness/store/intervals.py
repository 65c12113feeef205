"""The interval of a mean as ``core.intervals`` has it, to rounding and in a tenth of the time.

There the numbers are made, by SciPy, and their last digits stay; here some ten thousand of them are looked at
again whenever results are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean

from scipy.special import stdtrit

from ..core.intervals import CONFIDENCE, binomial_interval


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Wilson's interval for zeros and ones, Student's t for anything else, and none where there is none."""
    n, lowest, highest = len(values), min(values), max(values)
    if {*values} <= {0, 1}:
        return binomial_interval(int(sum(values)), n)
    if n < 2 or lowest == highest:
        return None, None
    mean = fmean(values)
    half = _t(n - 1) * math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    if lowest >= 0 and highest <= 1:
        return max(0.0, mean - half), min(1.0, mean + half)
    return mean - half, mean + half


@lru_cache(maxsize=1024)
def _t(freedom: int) -> float:
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
