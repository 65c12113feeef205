"""What cells take, from the committed leaderboards: the table that estimates begin with.

python tests/perf/seconds.py > harness/runner/seconds.csv
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq

from harness.core.names import ATTACK, EVALUATION, NO_ATTACK, SMOLLM2, TINY, UTILITY

BOARDS = Path(__file__).parents[2] / "leaderboard"
FILES = {TINY: BOARDS / "leaderboard.parquet", SMOLLM2: BOARDS / "real" / "leaderboard.parquet"}
COLUMNS = ("model", "benchmark", "stage", "method", "attack", "variant", "seconds")
TARGET, LM_EVAL = 59.0, 0.2
"""Of a target, and of lm-eval's tasks (docs/performance.md): no row of the leaderboard has them."""

HEAD = f"""\
# Core seconds of a cell, from the column `seconds` of the committed leaderboards;
# those of targets and lm-eval from docs/performance.md. A line without a method is the mean of all methods.
# Made by: python tests/perf/{Path(__file__).name} > harness/runner/seconds.csv
"""


def main() -> None:
    """Print a line for each kind of cell."""
    seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in (row for file in FILES.values() for row in pq.read_table(file).to_pylist()):
        if row["model"] not in FILES or row["config"] or row["attack_config"] or row["seconds"] is None:
            continue
        on = row["model"], row["benchmark"]
        if row["attack"] == NO_ATTACK:
            seconds[*on, EVALUATION, row["method"], NO_ATTACK, ""].append(row["seconds"])
        else:
            seconds[*on, ATTACK, "", row["attack"], row["variant"]].append(row["seconds"])
    for on in {work[:2] for work in seconds if work[0] == TINY}:
        seconds[*on, "target", "", NO_ATTACK, ""] = [TARGET]
        seconds[*on, UTILITY, "", NO_ATTACK, ""] = [LM_EVAL]
    sys.stdout.write(HEAD)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for work in sorted(seconds):
        table.writerow([*work, f"{fmean(seconds[work]):.2f}"])


if __name__ == "__main__":
    main()
