"""Where the time of a run went, from its results: seconds by stage, and as a share of the whole.

python tests/perf/where_time_goes.py results [cache]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from harness.engine.cache import cache_directory
from harness.engine.note import DONE
from harness.store.store import Store


def main(results: Path, cache: Path) -> None:
    """Print a row for each stage. Seconds of several workers add up."""
    seconds: Counter[str] = Counter()
    cells: Counter[str] = Counter()
    for row in Store(results).cells().to_pylist():
        stage = f"attack: {row['attack']}" if row["attack"] != "none" else "unlearn and evaluate"
        seconds[stage] += row["seconds"]
        cells[stage] += 1
    for note in sorted(cache.glob(f"targets/*/{DONE}")):
        stage = "targets"
        seconds[stage] += json.loads(note.read_text())["cost"]["seconds"]
        cells[stage] += 1
    whole = sum(seconds.values())
    print("| stage | number | core seconds | share |\n| --- | --- | --- | --- |")
    for stage, spent in seconds.most_common():
        print(f"| {stage} | {cells[stage]} | {spent:.0f} | {spent / whole:.0%} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else cache_directory())
