"""The interval of a mean as ``core.intervals`` has it, to rounding and in a tenth of the time.

There the numbers are made, by SciPy, and their last digits stay; here some ten thousand of them are looked at
again whenever results are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist, fmean

from ..core.intervals import CONFIDENCE

TAIL = (1 + CONFIDENCE) / 2
Z = NormalDist().inv_cdf(TAIL)


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Wilson's interval for zeros and ones, Student's t for anything else, and none where there is none."""
    n, lowest, highest = len(values), min(values), max(values)
    if {*values} <= {0, 1}:
        share, z2 = sum(values) / n, Z * Z / n
        middle = (share + z2 / 2) / (1 + z2)
        half = Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2)
        return middle - half, middle + half
    if n < 2 or lowest == highest:
        return None, None
    mean = fmean(values)
    half = _t(n - 1) * math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    if lowest >= 0 and highest <= 1:
        return max(0.0, mean - half), min(1.0, mean + half)
    return mean - half, mean + half


@lru_cache(maxsize=1024)
def _t(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(TAIL, freedom))
