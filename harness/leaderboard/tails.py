"""How sure each of several lower ends must be, where the highest of them is taken."""

from __future__ import annotations

import numpy as np
from scipy import special

from ..core.intervals import CONFIDENCE
from .moments import ROUNDING

NEWTON, CLOSE = 50, 1e-12
"""Steps towards a root at the most, some six do; and how near two of them are to each other at the last."""


def shared_tail(attacks: int, correlation: float) -> float:
    """The tail of each lower end at which the interval of the highest of ``attacks`` equal means holds it.

    With z the tail's normal quantile and Z the errors, any two with this correlation, P(max Z > z), where the
    lower end is too high, and P(max Z < -1.96), where all upper ends are too low, make 5 % together. For one
    attack and for two that is 2.5 %.
    """
    if attacks < 3:
        return (1 - CONFIDENCE) / 2
    return float(shared_tails(np.array([attacks]), np.array([correlation]))[0])


def shared_tails(attacks: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """The same of each [n], of three attacks or more."""
    shared = np.clip(correlation, 0.0, 0.999)
    # With steps this short beside what changes fastest nothing is lost.
    width = np.minimum(1.0, np.sqrt((1 - shared) / np.maximum(shared, ROUNDING))) / np.log(attacks)
    steps = 2 ** np.ceil(np.log2(24 / width)).astype(int)
    tails = np.empty(len(attacks))
    for number in np.unique(steps):
        own = steps == number
        tails[own] = _shared_tails(attacks[own, None].astype(float), shared[own, None], int(number))
    return tails


def _shared_tails(k: np.ndarray, shared: np.ndarray, steps: int) -> np.ndarray:
    """Of ``k`` [n, 1] attacks, in so many steps to each side of 0."""
    of_all = np.linspace(-8, 8, 2 * steps + 1)  # the part of the errors that all attacks have in common
    weight = np.exp(-(of_all**2) / 2)
    weight, apart = weight / weight.sum(), np.sqrt(1 - shared)

    def all_below(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(max Z < z), and how fast it grows with z."""
        at = (z - np.sqrt(shared) * of_all) / apart
        below, density = special.ndtr(at), np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
        probability = np.einsum("np,p->n", below**k, weight)
        grows = np.einsum("np,p->n", k * below ** (k - 1) * density / apart, weight)
        return probability[:, None], grows[:, None]

    aim = CONFIDENCE + all_below(np.full_like(k, special.ndtri((1 - CONFIDENCE) / 2)))[0]
    # Between what it is where all errors are one, and where each is its own.
    least, most = special.ndtri(aim), special.ndtri(aim ** (1 / k))
    z, found = most, np.zeros_like(k, bool)
    for _ in range(NEWTON):
        probability, grows = all_below(z)
        step = np.clip(z - (probability - aim) / grows, least, most) - z
        z, found = np.where(found, z, z + step), found | (np.abs(step) <= CLOSE)
        if found.all():
            break
    tails: np.ndarray = special.ndtr(-z)[:, 0]
    return tails
