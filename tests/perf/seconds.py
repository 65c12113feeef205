"""What cells take on a CPU, from the committed leaderboards: the table that estimates begin with.

python tests/perf/seconds.py > harness/runner/seconds.csv
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq

from harness.core.names import ATTACK, EVALUATION, NO_ATTACK, TINY, UTILITY
from harness.store.packed import opened

BOARDS = Path(__file__).parents[2] / "leaderboard"
COLUMNS = ("model", "benchmark", "stage", "method", "attack", "variant", "seconds")
TARGET, LM_EVAL = 59.0, 0.2
"""Of a target, and of lm-eval's tasks (docs/performance.md): no row of the leaderboard has them."""

HEAD = f"""\
# Core seconds of a cell, from the column `seconds` of the committed leaderboard, and for a pretrained model
# from the cells that are committed, without those that ran on an accelerator;
# those of targets and lm-eval from docs/performance.md. A line without a method is the mean of all methods.
# Made by: python tests/perf/{Path(__file__).name} > harness/runner/seconds.csv
"""


def of_board() -> Iterator[tuple[tuple[str, ...], float]]:
    """What the rows of the embedded model took, each with its kind of cell."""
    for row in pq.read_table(BOARDS / "leaderboard.parquet").to_pylist():
        if (
            row["model"] == TINY
            and not row["config"]
            and not row["attack_config"]
            and row["seconds"] is not None
        ):
            stage = EVALUATION if row["attack"] == NO_ATTACK else ATTACK
            yield kind(row, stage), row["seconds"]


def of_cells() -> Iterator[tuple[tuple[str, ...], float]]:
    """The same for cells of the pretrained model that ran on a CPU."""
    for row in opened(BOARDS / "cells").cells().to_pylist():
        if not json.loads(row["provenance"])["gpu"]:
            yield kind(row, row["stage"]), row["seconds"]


def kind(row: dict[str, Any], stage: str) -> tuple[str, ...]:
    """What of a cell decides how long it takes, as far as estimates know: the columns but the last."""
    of = (row["method"], NO_ATTACK, "") if stage == EVALUATION else ("", row["attack"], row["variant"])
    return row["model"], row["benchmark"], stage, *of


def main() -> None:
    """Print a line for each kind of cell."""
    seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for work, taken in (*of_board(), *of_cells()):
        seconds[work].append(taken)
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
