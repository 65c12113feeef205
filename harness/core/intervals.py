"""95 % intervals of a mean over facts, and of a share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special  # scipy.stats takes most of a second to import, and ends up in these

CONFIDENCE = 0.95


def binomial_interval(k: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval for ``k`` successes in ``n`` trials; it stays honest at 0 and at n. ``n`` >= 1.

    As Newcombe (1998) writes it, method 3.
    """
    p, z = k / n, float(special.ndtri(0.5 + 0.5 * confidence))
    twice = 2 * (n + z**2)
    middle, half = (2 * n * p + z**2) / twice, z / twice * math.sqrt(4 * n * p * (1 - p) + z**2)
    return 0.0 if k == 0 else middle - half, 1.0 if k == n else middle + half


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The interval of a mean over facts.

    Zeros and ones are counted (Wilson), because 0 of 20 is not certainly 0. Anything else takes Student's t,
    cut to [0, 1] when all values lie there. It is (None, None) for fewer than two values, for equal ones
    other than 0 and 1 (their spread is not 0, it is unknown) and for values that are not finite. On few and
    very skewed values t is too narrow; the number of facts stands beside it for that reason.
    """
    x = np.asarray(values, dtype=float)
    if x.size and np.isin(x, (0.0, 1.0)).all():
        return binomial_interval(int(x.sum()), x.size)
    if x.size < 2 or not np.isfinite(x).all() or np.ptp(x) == 0:
        return None, None
    half = special.stdtrit(x.size - 1, (1 + CONFIDENCE) / 2) * standard_error(x)
    return _cut(x, float(x.mean()), float(half))


def clustered_interval(values: Sequence[float], clusters: Sequence[str]) -> tuple[float | None, float | None]:
    """The interval of a mean over facts of which those of one cluster are alike.

    The variance of the mean is C/(C-1) sum_c (sum of the residuals in c)^2 / n^2, with Student's t of C-1
    degrees of freedom for C clusters. Where every fact is a cluster of its own it is :func:`mean_interval`.
    """
    names, of = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    x = np.asarray(values, dtype=float)
    if len(names) in (1, x.size) or not np.isfinite(x).all() or np.ptp(x) == 0:
        return mean_interval(values)
    return _cut(x, float(x.mean()), _half(x, of))


def difference_interval(
    differences: Sequence[float], clusters: Sequence[str]
) -> tuple[float | None, float | None]:
    """The interval of the mean of paired differences: :func:`clustered_interval` without its two shortcuts.

    A difference is no share: it is neither counted nor cut, since an interval of shares never holds 0 unless
    all of them are 0. It is (None, None) for fewer than two values, equal ones, and values not finite.
    """
    names, of = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    x = np.asarray(differences, dtype=float)
    if x.size < 2 or not np.isfinite(x).all() or np.ptp(x) == 0:
        return None, None
    half = _half(x, of if len(names) > 1 else np.arange(x.size))
    return float(x.mean()) - half, float(x.mean()) + half


def _half(x: np.ndarray, of: np.ndarray) -> float:
    """Half of the interval of a mean over clusters, of which ``of`` has the number of each value's own."""
    sums = np.bincount(of, weights=x - x.mean())
    error = np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / x.size
    return float(special.stdtrit(len(sums) - 1, (1 + CONFIDENCE) / 2) * error)


def standard_error(x: np.ndarray) -> float:
    """Of the mean of two values or more."""
    return float(np.std(x, ddof=1) / x.size**0.5)


def _cut(x: np.ndarray, mean: float, half: float) -> tuple[float, float]:
    """mean -/+ half, within [0, 1] when all of ``x`` is: a share cannot be negative."""
    share = bool(((x >= 0) & (x <= 1)).all())
    return (max(0.0, mean - half), min(1.0, mean + half)) if share else (mean - half, mean + half)
