"""What cells take on a CPU, from the cells that are committed: the table that estimates begin with.

python tests/perf/seconds.py > build/seconds.csv && mv build/seconds.csv harness/runner/seconds.csv

A kind of cell that none of them is of keeps the line that it has there.
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

from harness.core.names import ANALYSIS, EVALUATION, NO_ATTACK, TINY
from harness.store.packed import opened

ROOT = Path(__file__).parents[2]
BOARDS = ROOT / "leaderboard"
CELLS = (BOARDS / "cells", BOARDS / "cells-tiny", BOARDS / "studies" / "left-out")
TABLE = ROOT / "harness" / "runner" / "seconds.csv"
COLUMNS = ("model", "benchmark", "stage", "method", "attack", "variant", "seconds")
TARGET = 59.0
"""Of a target (docs/performance.md): no cell is one."""

HEAD = f"""\
# Core seconds of a cell, from the column `seconds` of the committed cells, without those that ran on an
# accelerator; those of targets from docs/performance.md. A line without a method is the mean of all methods.
# Made by: python tests/perf/{Path(__file__).name}
"""


def of_cells(place: Path) -> Iterator[tuple[tuple[str, ...], float]]:
    """What cells that ran on a CPU took, each with its kind."""
    for row in opened(place).cells().to_pylist():
        if not json.loads(row["provenance"])["gpu"] and row["status"] == "ok" and row["stage"] != ANALYSIS:
            yield kind(row), row["seconds"]


def of_before() -> Iterator[tuple[tuple[str, ...], float]]:
    """The lines of the table as it is."""
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    for *work, taken in list(csv.reader(lines))[1:]:
        yield tuple(work), float(taken)


def kind(row: dict[str, Any]) -> tuple[str, ...]:
    """What of a cell decides how long it takes, as far as estimates know: the columns but the last."""
    stage = row["stage"]
    of = (row["method"], NO_ATTACK, "") if stage == EVALUATION else ("", row["attack"], row["variant"])
    return row["model"], row["benchmark"], stage, *of


def main() -> None:
    """Print a line for each kind of cell."""
    seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for place in CELLS:
        for work, taken in of_cells(place):
            seconds[work].append(taken)
    for on in {work[:2] for work in seconds if work[0] == TINY}:
        seconds[*on, "target", "", NO_ATTACK, ""] = [TARGET]
    for work, taken in of_before():
        seconds.setdefault(work, [taken])
    sys.stdout.write(HEAD)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for work in sorted(seconds):
        table.writerow([*work, f"{fmean(seconds[work]):.2f}"])


if __name__ == "__main__":
    main()
