"""What analyses cost beside the unlearning and the attacks that they look at, from the seconds of cells.

    harness run --methods gd,npo --attacks private-data,relearn-retain --analyses all --results DIR
    python tests/perf/analyses.py DIR [DIR ...]

Prints a line for each method: seconds of all analyses of a model, those of its unlearning, evaluation and
attacks, and the ratio. Means over seeds; each benchmark by itself.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from harness.core.names import ANALYSIS
from harness.store.packed import opened


def main(directories: list[Path]) -> None:
    """Print the table."""
    spent: dict[tuple[str, str], dict[bool, float]] = defaultdict(lambda: {True: 0.0, False: 0.0})
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in (row for place in directories for row in opened(place).cells().to_pylist()):
        of = row["benchmark"], row["method"]
        spent[of][row["stage"] == ANALYSIS] += row["seconds"] or 0.0
        seeds[of].add(row["seed"])
    print("| benchmark | method | analyses, s | the rest, s | ratio |\n| --- | --- | --- | --- | --- |")
    for (benchmark, method), seconds in sorted(spent.items()):
        if seconds[True] and seconds[False]:
            looked, rest = (seconds[which] / len(seeds[benchmark, method]) for which in (True, False))
            print(f"| {benchmark} | {method} | {looked:.1f} | {rest:.1f} | {looked / rest:.3f} |")


if __name__ == "__main__":
    main([Path(place) for place in sys.argv[1:]])
