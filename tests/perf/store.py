"""How a results directory grows: files, bytes and seconds of 10^3, 10^4 and 10^5 synthetic cells.

    PYTHONPATH=tests python tests/perf/store.py [--cells 1000 10000 100000] [--samples 20]

The cells of a line lie in files of many, as `harness results compact` leaves them; for the first line it is
run, on cells that were committed one by one. Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.core.types import Outcome, as_row
from harness.store import integrity
from harness.store.atomic import parquet_bytes, write_atomically
from harness.store.compacted import FOLDER
from harness.store.compaction import GROUP, MOST, compact
from harness.store.many import table_of
from harness.store.store import Store, as_tables
from support.sound import row_of, scored, sound


def main() -> None:
    """Print a line for each number of cells."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--samples", type=int, default=20)
    given = parser.parse_args()
    for number, cells in enumerate(given.cells):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            if number == 0:
                single(place, cells, given.samples)
            else:
                made = seconds(lambda: many(place, cells, given.samples))  # noqa: B023
                print(f"{cells} cells are made in {made:.1f} s")
            print(f"{cells} cells, compacted: {looked_at(place)}", flush=True)


def single(place: Path, cells: int, samples: int) -> None:
    """Commit cells one by one, look at them, and compact them."""
    store = Store(place)
    for seed in range(cells):
        row, outcome = cell(seed, samples)
        store.commit(row, outcome)
    print(f"{cells} cells, alone: {looked_at(place)}")
    print(f"compacted in {seconds(lambda: compact(Store(place))):.2f} s")


def many(place: Path, cells: int, samples: int) -> None:
    """Write cells to files of many, without committing them first."""
    for number, begin in enumerate(range(0, cells, MOST), start=1):
        rows = sorted(rows_of(range(begin, min(begin + MOST, cells)), samples), key=lambda row: row["key"])
        write_atomically(place / FOLDER / f"{number:06d}.parquet", parquet_bytes(table_of(rows), rows=GROUP))


def rows_of(seeds: range, samples: int) -> Iterator[dict[str, Any]]:
    """Rows of files of many."""
    for seed in seeds:
        row, outcome = cell(seed, samples)
        numbers = as_tables(row.key, outcome)
        plain = as_row(row)
        plain["content"] = integrity.digest(plain, *(table.to_pydict() for table in numbers))
        names = ("metrics", "samples", "analyses")
        yield plain | {
            name: table.drop_columns("key").to_pylist() for name, table in zip(names, numbers, strict=True)
        }


def cell(seed: int, samples: int) -> tuple[Any, Outcome]:
    """A sound cell."""
    values = [(seed * 7 + fact) % 11 / 10 for fact in range(samples)]
    return sound(row_of(seed=seed)), scored("forget", "accuracy", values)


def looked_at(place: Path) -> str:
    """Files and bytes of a directory, and what it takes to open it, to know what is done, and to read it."""
    files = [path for path in place.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    opened = seconds(lambda: Store(place))
    done = seconds(lambda: Store(place, opened=True).done())
    read = seconds(lambda: Store(place, opened=True).cells())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"{len(files)} files, {size / 2**20:.1f} MiB; opened in {opened:.2f} s, done() in {done:.2f} s, "
        f"cells() in {read:.2f} s; peak {peak:.2f} GiB"
    )


def seconds(work: Callable[[], object]) -> float:
    """Seconds of the processor that it takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
