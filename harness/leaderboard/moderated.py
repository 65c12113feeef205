"""Variances of few seeds each, steadied by those of the other methods (Smyth 2004, section 6).

Three or five seeds say little about how far seeds are apart, so a test that has to hold for all pairs of a
table finds next to nothing. But all methods run with the same seeds by one protocol, and their variances are
alike. How alike is estimated: with s2_g the variances, d their degrees of freedom, and
e_g = log s2_g - psi(d/2) + log(d/2),

    psi'(d0/2) = var(e_g) - psi'(d/2)      s2_0 = exp(mean(e_g) + psi(d0/2) - log(d0/2))

each becomes (d0 s2_0 + d s2_g) / (d0 + d), with d0 + d degrees of freedom: nearly its own where they differ
by more than chance, and nearly the common one where they do not.
"""

from __future__ import annotations

import numpy as np
from scipy import special
from scipy.optimize import brentq

FLOOR = 1e-5
"""Least variance, as a share of their median: the logarithm of 0 would outweigh all others."""


def moderated(variances: np.ndarray, free: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """The steadied ``variances`` [n] and their degrees of freedom.

    ``free`` [n] are those of each alone, and at most ``most`` are added: as many as the others have together,
    where the n share methods.
    """
    known = free > 0
    if most <= 0 or known.sum() < 2 or not (middle := float(np.median(variances[known]))) > 0:
        return variances, free
    d = free[known]
    logs = np.log(np.maximum(variances[known], FLOOR * middle)) - special.digamma(d / 2) + np.log(d / 2)
    spread = float(np.var(logs, ddof=1) - special.polygamma(1, d / 2).mean())
    d0 = min(_free_of(spread), most)
    common = np.exp(logs.mean() + special.digamma(d0 / 2) - np.log(d0 / 2))
    steadied = (d0 * common + free * variances) / (d0 + free)
    return np.where(known, steadied, variances), np.where(known, d0 + free, free)


def _free_of(spread: float) -> float:
    """The d0 with psi'(d0/2) = ``spread``; infinite where the variances differ by chance alone."""
    if spread <= 0:
        return np.inf
    return float(2 * brentq(lambda half: special.polygamma(1, half) - spread, 1e-8, 1e12, xtol=1e-12))
