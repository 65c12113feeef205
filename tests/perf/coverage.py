"""How often the intervals of the leaderboard hold the truth, in simulated results whose truth is known.

    python tests/perf/coverage.py [RUNS]

Prints the table that stands in docs/protocol.md. 95 of 100 is what they promise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.special import ndtr

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.leaderboard import ranking, stats
from support import crossed

SIZES = 10
"""Draws of the clusters' sizes, among which the runs are divided."""


def mean(runs: int) -> Iterator[tuple[str, float, float]]:
    """Means of facts in clusters: taken as such, and as if each fact were its own."""
    for seeds in (3, 5):
        for clusters in (10, 20, 50):
            for alike in (0, 0.3, 0.6):
                rng = np.random.default_rng(1)
                held = []
                for _ in range(SIZES):
                    of = crossed.clusters(rng, clusters)
                    y = crossed.normal(rng, runs // SIZES, seeds, of, alike)
                    held.append([holds(stats.moments(y, each)) for each in (of, None)])
                yield f"mean, {clusters} clusters, alike {alike}, {seeds} seeds", *np.mean(held, 0)


def holds(found: stats.Moments, truth: float = 0) -> float:
    """The share of these intervals that hold it."""
    return float(np.mean(np.abs(found.mean - truth) <= found.half_width()))


def right(runs: int) -> Iterator[tuple[str, float, float]]:
    """Shares of right answers: the same, near one half and near an end."""
    for clusters in (10, 50):
        for p in (0.5, 0.9):
            for alike in (0.0, 0.3):
                rng = np.random.default_rng(2)
                held = []
                for _ in range(SIZES):
                    of = crossed.clusters(rng, clusters)
                    y = crossed.normal(rng, runs // SIZES, 3, of, alike, (0.8, 0.2, 0.57))
                    y = (ndtr(y / np.sqrt(0.8**2 + 0.2**2 + 0.57**2)) < p).astype(float)
                    held.append([holds(stats.moments(y, each), p) for each in (of, None)])
                yield f"share of right answers {p}, {clusters} clusters, alike {alike}", *np.mean(held, 0)


def worst(runs: int) -> Iterator[tuple[str, float, float]]:
    """The highest of several attacks, and how wide it is beside the interval of one."""
    for common in (0.3, 0.8):
        for gaps in ([0], [0] * 2, [0] * 3, [0] * 6, [0] * 15, [0] + [0.1] * 5, [0] + [0.25] * 5):
            rng = np.random.default_rng(3)
            held, width = [], []
            for _ in range(runs // 4):
                of = crossed.clusters(rng, 20, 1, 5)
                own = crossed.normal(rng, len(gaps), 3, of, 0.3, (0.3, 0.06, 0.3))
                of_all = crossed.normal(rng, 1, 3, of, 0.3, (0.3, 0.06, 0.3))
                y = np.sqrt(1 - common) * own + np.sqrt(common) * of_all - np.array(gaps)[:, None, None]
                low, high = ranking.highest(y, of)
                held.append(low <= 0 <= high)
                width.append((high - low) / (2 * stats.moments(y[0], of).half_width()))
            name = f"worst of {len(gaps)} attacks, the others {gaps[-1]} below, {common} in common"
            yield name, float(np.mean(held)), float(np.mean(width))


def recovery(runs: int) -> Iterator[tuple[str, float, float]]:
    """Recovery of zeros and ones, and how often the delta method alone would hold it."""
    for clusters, most in ((60, 1), (20, 5)):
        for share in (0, 0.03, 0.1, 0.5, 0.9, 0.97, 0.99):
            rng = np.random.default_rng(4)
            held, plain = [], []
            for _ in range(SIZES):
                of = crossed.clusters(rng, clusters, 1, most)
                y = crossed.recovered(rng, runs // SIZES, 3, of, share)
                ratio, low, high, _ = stats.recoveries(y, of)
                held.append(np.mean((low <= share) & (share <= high)))
                _, d, base = stats.ratios(y, of)
                plain.append(np.mean(np.abs(ratio - share) <= d.half_width() / base.mean))
            name = f"recovery {share}, {clusters} clusters of 1 to {most}"
            yield name, float(np.mean(held)), float(np.mean(plain))


def main() -> None:
    """Print a line for each world."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    for simulated, other in (
        (mean, "without clusters"),
        (right, "without clusters"),
        (worst, "width"),
        (recovery, "delta method"),
    ):
        for name, held, second in simulated(runs):
            print(f"| {name} | {held:.3f} | {other} {second:.3f} |", flush=True)


if __name__ == "__main__":
    main()
