"""What the width of a board's intervals is made of, and what more seeds and facts would tell apart.

    python tests/perf/power.py RESULTS [TABLES]

For each target of RESULTS: the parts of the variance of a score and of the difference of two methods, and how
many pairs of methods are told apart. Then whole tables are drawn anew from the samples, as large as a board
of all built-in methods, in which every other method's worst score is truly higher by .1, with other numbers
of seeds and facts: the share of pairs that differ by .1 and are told apart, the share of equal ones among
those told apart, and what the cells would take on two cores. The last lines are of all benchmarks together.
Seeds hold targets, where each seed runs on its own.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import TypeVar

import numpy as np

from harness.core.names import ATTACK, CONTROLS
from harness.leaderboard import arrays, ranking, stats
from harness.leaderboard.groups import Groups, grouped
from harness.leaderboard.overall import combined
from harness.leaderboard.reading import FORGET
from harness.store.packed import opened
from harness.store.store import tables

SEEDS = (3, 5, 8)
FACTS = (1, 2)
GAP = 0.1
CORES = 2
METHODS = 12
"""Of a simulated table, half of them worse. Where fewer were measured, some stand for several."""

M = TypeVar("M", str, int)

Scores = Mapping[str, np.ndarray]
"""By method, [attacks, seeds, facts]."""


def scores(groups: Groups) -> tuple[Scores, np.ndarray | None]:
    """Of the methods of one target that have all attacks that most have; and the cluster of each fact."""
    found: dict[str, dict[str, arrays.BySeed]] = defaultdict(dict)
    clusters: dict[str, str] = {}
    for which, seeds in groups.items():
        measured = FORGET, str(seeds.note("forget_metric"))
        if which.stage != ATTACK or which.method.method in CONTROLS:
            continue
        if facts := seeds.ok().facts(measured):
            found[str(which.method)][str(which.attack)] = facts
            clusters |= seeds.clusters(measured)
    count = Counter(attack for attacks in found.values() for attack in attacks)
    shared = sorted(attack for attack, times in count.items() if times > len(found) / 2)
    methods = sorted(method for method, attacks in found.items() if attacks.keys() >= {*shared})
    flat = [found[method][attack] for method in methods for attack in shared]
    if not flat:
        return {}, None
    y = arrays.aligned(*flat)
    y = y.reshape(len(methods), len(shared), *y.shape[1:])
    return dict(zip(methods, y, strict=True)), arrays.numbered(clusters, *flat)


def parts(y: np.ndarray, of: np.ndarray | None) -> np.ndarray:
    """Of the variance of the means of ``y`` [..., seeds, facts]: the shares of facts, seeds and the rest."""
    found = stats.moments(y, of)
    facts, seeds = (np.maximum(v - found.v_e, 0).mean() for v in (found.v_f, found.v_s))
    total = np.array([facts, seeds, found.v_e.mean()])
    return total / max(total.sum(), stats.ROUNDING)


def in_common(own: Scores, of: np.ndarray | None) -> float:
    """How alike two methods fare under the same seed: the correlation of their seeds' shifts."""

    def shifts(y: np.ndarray) -> float:
        found = stats.moments(y, of)
        return float((found.v_s - found.v_e).mean())

    pairs = list(combinations(own.values(), 2))
    apart = sum(shifts(a - b) for a, b in pairs)
    return float(np.clip(1 - apart / max(sum(shifts(a) + shifts(b) for a, b in pairs), 1e-12), 0, 1))


class Redrawn:
    """Tables like the one that was measured."""

    def __init__(self, own: Scores, of: np.ndarray | None) -> None:
        self.own, self.alike = own, in_common(own, of)
        self.of = np.arange(next(iter(own.values())).shape[-1]) if of is None else of

    def table(
        self, rng: np.random.Generator, seeds: int, times: int
    ) -> tuple[dict[int, np.ndarray], np.ndarray]:
        """Other facts (``times`` as many clusters) and other seeds; every other method is worse by GAP."""
        count = self.of.max() + 1
        drawn = [np.flatnonzero(self.of == c) for c in rng.integers(0, count, times * count)]
        facts, of = np.concatenate(drawn), np.repeat(np.arange(len(drawn)), [len(each) for each in drawn])
        of_all = rng.standard_normal(seeds)
        table = {}
        size = max(METHODS, len(self.own))
        for place, method in enumerate(rng.permutation(np.resize(sorted(self.own), size))):
            shift = np.sqrt(self.alike) * of_all + np.sqrt(1 - self.alike) * rng.standard_normal(seeds)
            table[place] = self._method(self.own[method], facts, shift, rng) + GAP * (place % 2)
        return table, of

    def _method(
        self, y: np.ndarray, facts: np.ndarray, shift: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """One method's values with a true worst of 0: its facts, shifted seeds, and the rest as noise."""
        known, found, plain = ~np.isnan(y), stats.moments(y, self.of), stats.moments(y)
        of_fact = np.nansum(y, 1) / np.maximum(known.sum(1), 1) - found.mean[:, None]
        # The mean of a fact over seeds holds its share of the rest, which is drawn anew.
        of_fact *= np.sqrt(np.maximum(1 - found.v_e / np.maximum(found.v_f, stats.ROUNDING), 0))[:, None]
        of_seed = np.sqrt(np.maximum(found.v_s - found.v_e, 0) * found.seeds)
        rest = np.sqrt(plain.v_e * known.sum((1, 2)))
        level = found.mean - found.mean.max()
        made = (level[:, None] + of_fact[:, facts])[:, None] + of_seed[:, None, None] * shift[:, None]
        made = made + rest[:, None, None] * rng.standard_normal(made.shape)
        scored = known[:, np.arange(len(shift)) % known.shape[1]][..., facts]
        return np.where(scored, made, np.nan)


def told_apart(benchmarks: Sequence[Redrawn], seeds: int, times: int, count: int) -> tuple[float, float]:
    """Of pairs that truly differ by GAP, how many are told apart; of those told apart, how many are equal.

    Of several benchmarks, over all of them together.
    """
    rng = np.random.default_rng(0)
    right, wrong = [], []
    for _ in range(count):
        tables = [redrawn.table(rng, seeds, times) for redrawn in benchmarks]
        each = [one_sided(table, of) for table, of in tables]
        p = {pair: combined([one[pair] for one in each]) for pair in each[0]}
        told = {pair: value <= ranking.LEVEL for pair, value in ranking.corrected(p).items()}
        differ = [found for (a, b), found in told.items() if a % 2 != b % 2]
        right.append(np.mean(differ))
        every = sum(told.values())
        wrong.append((every - sum(differ)) / max(every, 1))
    return float(np.mean(right)), float(np.mean(wrong))


def simulated(benchmarks: Sequence[Redrawn], seconds: float, count: int) -> Iterator[str]:
    """A line for each number of seeds and facts."""
    for seeds, times in product(SEEDS, FACTS):
        right, wrong = told_apart(benchmarks, seeds, times, count)
        minutes = seconds * seeds * times / CORES / 60
        yield (
            f"{seeds} seeds, facts x{times}: {right:.0%} of pairs that differ by {GAP} are told apart "
            f"({wrong:.0%} of those told apart are equal), at most {minutes:.0f} minutes"
        )


def one_sided(own: Mapping[M, np.ndarray], of: np.ndarray | None) -> dict[tuple[M, M], float]:
    """What the board computes of methods, each [attacks, seeds, facts]."""
    scores = {method: by_attack(y) for method, y in own.items()}
    return ranking.one_sided_p(scores, None if of is None else names(of))


def by_attack(y: np.ndarray) -> dict[int, arrays.BySeed]:
    """[attacks, seeds, facts] as results hold it."""
    return {
        a: {s: {str(f): float(v) for f, v in enumerate(row) if not np.isnan(v)} for s, row in enumerate(own)}
        for a, own in enumerate(y)
    }


def names(of: np.ndarray) -> dict[str, str]:
    """The cluster of each fact as results hold it."""
    return {str(f): f"cluster {c}" for f, c in enumerate(of)}


def measured(own: Scores, of: np.ndarray | None) -> Iterator[str]:
    """What the intervals of one target are made of, and how many pairs it tells apart."""
    y = np.stack(list(own.values()))
    pairs = list(combinations(own.values(), 2))
    clusters = y.shape[3] if of is None else int(of.max()) + 1
    size = f"{len(own)} methods, {y.shape[1]} attacks, {y.shape[2]} seeds"
    yield f"{size}, {y.shape[3]} facts in {clusters} clusters"
    differences = np.stack([a - b for a, b in pairs])
    for what, values in (("a score", y), ("the difference of two", differences)):
        shares = zip(("facts", "seeds", "rest"), parts(values, of), strict=True)
        half = float(np.nanmean(stats.moments(values, of).half_width()))
        text = ", ".join(f"{name} {share:.0%}" for name, share in shares)
        yield f"variance of {what}: {text}; half its interval {half:.3f}"
    p = one_sided(own, of)
    told = [each <= ranking.LEVEL for each in ranking.corrected(p).values()]
    yield f"told apart: {sum(told)} of {len(told)} pairs"


def seconds_of(groups: Groups) -> float:
    """Of one seed: all cells, by the number of seeds."""
    cells = [cell for seeds in groups.values() for cell in seeds.ok().values()]
    return sum(cell.row["seconds"] for cell in cells) / len({cell.row["seed"] for cell in cells})


def main(arguments: Sequence[str]) -> None:
    """Print what the results of a directory say."""
    groups = grouped(*tables([opened(Path(arguments[0]))]))
    count = int(arguments[1]) if len(arguments) > 1 else 20
    drawn, seconds = [], 0.0
    for target in dict.fromkeys(which.target for which in groups):
        print(target.benchmark, target.model)
        chosen = Groups({which: seeds for which, seeds in groups.items() if which.target == target})
        own, of = scores(chosen)
        if len(own) < 2:
            print("  fewer than two methods have all attacks that most have")
            continue
        drawn.append(Redrawn(own, of))
        took = seconds_of(chosen)
        seconds += took
        for line in (*measured(own, of), *simulated(drawn[-1:], took, count)):
            print(f"  {line}", flush=True)
    if len(drawn) > 1:
        print("all together")
        for line in simulated(drawn, seconds, count):
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
