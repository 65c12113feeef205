"""How often a rerun with other seeds would agree with a leaderboard, and which drift would be found.

    python tests/perf/reruns.py RESULTS

Each row's values are drawn anew around the facts' means, with the spread over seeds (shared by all rows of an
unlearned model) and the rest that were found in RESULTS. Two such tables are held against each other as
`harness leaderboard check` does it; then one model after another drifts in all its scores.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from harness.core import intervals
from harness.core.names import ATTACK, ORIGINAL, RETRAIN
from harness.leaderboard import arrays, stats
from harness.leaderboard.columns import COLUMNS
from harness.leaderboard.compare import Comparison, compare
from harness.leaderboard.groups import grouped
from harness.store.store import Store, tables

PAIRS = 200
DRIFTS = (0.1, 0.15, 0.2, 0.3)


def drawn(y: np.ndarray, shift: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values [tables, seeds, facts] like ``y`` [seeds, facts]; ``shift`` [tables, seeds] is normal."""
    known, found, seeds = ~np.isnan(y), stats.moments(y), len(y)
    of_seed = np.sqrt(max(float(found.v_s - found.v_e), 0) * seeds)
    rest = np.sqrt(float(found.v_e) * known.sum())
    noise = rng.standard_normal((len(shift), *y.shape))
    return np.where(known, np.nanmean(y, 0) + of_seed * shift[:, :, None] + rest * noise, np.nan)


def numbers(y: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Mean and interval of each table, [tables, 3], cut to [0, 1] like the leaderboard's."""
    found = stats.moments(made)
    half = np.nan_to_num(found.half_width())
    if np.ptp(y[~np.isnan(y)]) == 0 and found.mean[0] in (0, 1):
        facts = int(found.facts[0])
        return np.tile(
            [found.mean[0], *intervals.binomial_interval(int(found.mean[0]) * facts, facts)], (len(made), 1)
        )
    return np.stack([found.mean, found.mean - half, found.mean + half], -1).clip(0, 1)


def simulated(results: Path) -> dict[tuple[str, str, str], dict[str, np.ndarray]]:
    """By place (benchmark, method, attack) and column, [tables, 3]: score, exact match and recovery."""
    rng = np.random.default_rng(0)
    shifts: dict[tuple, np.ndarray] = defaultdict(lambda: rng.standard_normal((2 * PAIRS, 3)))
    same_attack: dict[tuple, dict[str, arrays.BySeed]] = defaultdict(dict)
    found: dict[tuple, dict[str, np.ndarray]] = defaultdict(dict)
    for which, seeds in grouped(*tables([Store(results)])).items():
        if which.stage == ATTACK:
            benchmark, method = which.target.benchmark, which.method.method
            label = f"{which.attack.attack} {which.attack.variant}"
            same_attack[benchmark, label][method] = seeds.ok().facts(("forget", seeds.note("forget_metric")))
            (exact,) = arrays.aligned(seeds.ok().facts(("forget", "exact_match")))
            made = drawn(exact, shifts[benchmark, method], rng)
            found[benchmark, method, label]["exact_match"] = numbers(exact, made)
    for (benchmark, label), methods in same_attack.items():
        y = dict(zip(methods, arrays.aligned(*methods.values()), strict=True))
        scored = {name: drawn(own, shifts[benchmark, name], rng) for name, own in y.items()}
        for name, own in scored.items():
            row = found[benchmark, name, label]
            row["score"] = numbers(y[name], own)
            if name not in (ORIGINAL, RETRAIN):
                found_again = stats.recoveries(np.stack([own, scored["none"], scored["retrain"]], 1))
                row["recovery"] = np.stack(found_again[:3], -1)
    return found


def table(found: dict[tuple[str, str, str], dict[str, np.ndarray]], at: int) -> list[dict]:
    """One simulated table as rows of a leaderboard."""
    rows = []
    for (benchmark, method, attack), columns in found.items():
        row = dict.fromkeys(COLUMNS) | {"benchmark": benchmark, "method": method, "attack": attack}
        row |= {"failed": 0, "variant": ""}
        row["signature"] = f"protocol:1|benchmark:{benchmark}|data:d|method:{method}|attack:{attack}"
        for name, own in columns.items():
            if not np.isnan(own[at]).any():
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), own[at].tolist(), strict=True))
        rows.append(row)
    return rows


def drifted(rows: list[dict], by: float) -> list[dict]:
    """All scores moved by ``by``, towards the middle of the scale."""
    return [
        row | {name: row[name] + (by if row["score"] < 0.5 else -by) for name in row if name[:5] == "score"}
        for row in rows
    ]


def furthest(first: list[dict], second: list[dict]) -> dict[str, float]:
    """By benchmark and method, how many margins its scores are apart at most."""
    found: dict[str, float] = defaultdict(float)
    compared = compare(first, second)
    for number in compared.numbers:
        if number.name == "score":
            model = number.where.partition(",")[0]
            found[model] = max(found[model], number.share * compared.limit)
    return found


def main() -> None:
    """Print the share of reruns that agree, and of drifts that are found."""
    found = simulated(Path(sys.argv[1]))
    pairs = [(table(found, i), table(found, PAIRS + i)) for i in range(PAIRS)]
    compared = [compare(*pair) for pair in pairs]
    agree = np.mean([not each.differences for each in compared])
    print(f"{len(found)} rows of {compared[0].models} models; of {PAIRS} reruns {agree:.1%} agree")
    limits = {"whole tables": compared[0].limit, "parts of two models": Comparison(models=2).limit}
    for drift in DRIFTS:
        apart = [furthest(first, drifted(second, drift)) for first, second in pairs]
        for what, limit in limits.items():
            of_model = [np.mean([each[model] > limit for each in apart]) for model in apart[0]]
            shares = f"{np.mean(of_model):.1%}, of the method with least {min(of_model):.0%}"
            print(f"a drift of a method's scores by {drift} is found in {what}: {shares}")


if __name__ == "__main__":
    main()
