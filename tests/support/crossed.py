"""Made-up values of facts under seeds, whose true mean is known."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri


def clusters(rng: np.random.Generator, count: int, least: int = 4, most: int = 20) -> np.ndarray:
    """The number of each fact's cluster; clusters differ in size."""
    return np.repeat(np.arange(count), rng.integers(least, most + 1, count))


def normal(
    rng: np.random.Generator, runs: int, seeds: int, of: np.ndarray, alike: float, sd: tuple = (1.0, 0.3, 1.0)
) -> np.ndarray:
    """[runs, seeds, facts] around 0: fact + seed + rest with these spreads.

    ``alike`` is the share of a fact's variance that its cluster has in common (intraclass correlation), in
    what holds under every seed and in what does not.
    """
    fact, seed, rest = sd
    return (
        fact * _alike(rng, runs, 1, of, alike)
        + seed * rng.standard_normal((runs, seeds, 1))
        + rest * _alike(rng, runs, seeds, of, alike)
    )


def _alike(rng: np.random.Generator, runs: int, seeds: int, of: np.ndarray, alike: float) -> np.ndarray:
    common = rng.standard_normal((runs, seeds, of.max() + 1))[..., of]
    return np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.standard_normal((runs, seeds, len(of)))


def by_seed(y: np.ndarray) -> dict[int, dict[str, float]]:
    """[seeds, facts] as results hold it."""
    return {s: {f"{f:03}": float(v) for f, v in enumerate(row) if not np.isnan(v)} for s, row in enumerate(y)}


def names(of: np.ndarray) -> dict[str, str]:
    """The cluster of each fact as results hold it."""
    return {f"{f:03}": f"cluster {c}" for f, c in enumerate(of)}


def recovered(
    rng: np.random.Generator,
    runs: int,
    seeds: int,
    of: np.ndarray,
    share: float,
    alike: float = 0.3,
    chance: float = 0.3,
    noise: float = 0.5,
) -> np.ndarray:
    """Zeros and ones [runs, 3, seeds, facts] of attacked, original and retrain; ``share`` truly came back.

    The original knows 97 in 100 facts. What did not come back is as retrain has it, but for a share ``noise``
    of guesses that came out in another way.
    """

    def drawn(p: float, own: int = seeds) -> np.ndarray:
        sd = (0.7, 0.2, np.sqrt(1 - 0.7**2 - 0.2**2))
        y = normal(rng, runs, own, of, alike, sd)
        return np.broadcast_to(y < ndtri(p), (runs, seeds, len(of)))

    original, retrain, again = drawn(0.97, 1), drawn(chance), drawn(chance)
    other = np.where(rng.random(retrain.shape) < noise, again, retrain)
    attacked = np.where(drawn(share), original, other)
    return np.stack([attacked, original, retrain], 1).astype(float)
