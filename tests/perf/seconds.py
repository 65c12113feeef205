"""What cells of the embedded model take, from the committed leaderboard: the table that estimates begin with.

python tests/perf/seconds.py > harness/runner/seconds.csv
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq

from harness.core.names import ATTACK, EVALUATION, NO_ATTACK, TINY, UTILITY

BOARD = Path(__file__).parents[2] / "leaderboard" / "leaderboard.parquet"
COLUMNS = ("benchmark", "stage", "method", "attack", "variant", "seconds")
TARGET, LM_EVAL = 59.0, 0.2
"""Of a target, and of lm-eval's tasks (docs/performance.md): no row of the leaderboard has them."""

HEAD = f"""\
# Core seconds of a cell of the embedded model, from the column `seconds` of the committed leaderboard;
# those of targets and lm-eval from docs/performance.md. A line without a method is the mean of all methods.
# Made by: python tests/perf/{Path(__file__).name} > harness/runner/seconds.csv
"""


def main() -> None:
    """Print a line for each kind of cell."""
    seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in pq.read_table(BOARD).to_pylist():
        if row["model"] != TINY or row["config"] or row["attack_config"] or row["seconds"] is None:
            continue
        if row["attack"] == NO_ATTACK:
            seconds[row["benchmark"], EVALUATION, row["method"], NO_ATTACK, ""].append(row["seconds"])
        else:
            seconds[row["benchmark"], ATTACK, "", row["attack"], row["variant"]].append(row["seconds"])
    for benchmark in {work[0] for work in seconds}:
        seconds[benchmark, "target", "", NO_ATTACK, ""] = [TARGET]
        seconds[benchmark, UTILITY, "", NO_ATTACK, ""] = [LM_EVAL]
    sys.stdout.write(HEAD)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for work in sorted(seconds):
        table.writerow([*work, f"{fmean(seconds[work]):.2f}"])


if __name__ == "__main__":
    main()
