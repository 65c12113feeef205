"""How a results directory and its leaderboard grow: 10^3 to 10^6 synthetic cells in files of many.

    PYTHONPATH=tests python tests/perf/store.py [--cells 1000 10000] [--board 1000000] [--keep DIR]

A line for each number of cells; above ``--board`` cells no leaderboard is built of them. Seconds are those of
the processor, the peak is that of the process up to then, which makes each grid in a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from perf.grid import write

from harness.report import parts
from harness.store import packed
from harness.store.provenance import cores
from harness.store.store import Store

T = TypeVar("T")

DRAWN = 20
"""Cells of a grid that are looked at by themselves, to see that it is sound."""


def main() -> None:
    """Print a line for each number of cells."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--board", type=int, default=10**6)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    for cells in given.cells:
        with tempfile.TemporaryDirectory() as folder:
            place = (given.keep or Path(folder)) / str(cells)
            for work in (made, stored, *([built] if cells <= given.board else [])):
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    print(process.submit(work, place, cells).result(), flush=True)


def made(place: Path, cells: int) -> str:
    """Write a grid, unless it is kept, and look at some of its cells."""
    took, _ = seconds(lambda: place.is_dir() or write(place, cells))
    store = Store(place)
    drawn = sorted(store.keys())[:: max(1, cells // DRAWN)]
    wrong = [cell.wrong for _, cell in store.looked_at(drawn) if cell.wrong]
    assert not wrong, wrong[0]
    lie = [path for path in place.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in lie) / 2**20
    return f"{cells} cells: made in {took:.1f} s, {len(lie)} files, {size:.1f} MiB, {len(drawn)} looked at"


def stored(place: Path, cells: int) -> str:
    """What it takes to open it, and to know what is done and what a plan of all its cells need not do."""
    opened, store = seconds(lambda: Store(place))
    done, keys = seconds(store.done)
    sound, found = seconds(lambda: {key for own, _ in store.vouched(keys) for key in own})
    columns, _ = seconds(lambda: store.columns("method", "status", "seconds"))
    assert found == keys
    return (
        f"{cells} cells: opened in {opened:.2f} s, done() in {done:.2f} s, all found sound in {sound:.2f} s, "
        f"three columns for an estimate in {columns:.2f} s; peak {peak():.2f} GiB"
    )


def built(place: Path, cells: int) -> str:
    """What it takes to build its leaderboard and pages: by the clock, since all cores work on it."""
    gc.set_threshold(100_000, 50, 50)  # as the command line does
    begun = time.perf_counter()
    made, unsound = parts.build(packed.stores([place]))
    board, below = time.perf_counter(), peak(resource.RUSAGE_CHILDREN)
    written = made.files()
    pages = time.perf_counter()
    assert not unsound
    size = sum(map(len, written.values())) / 2**20
    return (
        f"{cells} cells, {made.board.num_rows} rows on {cores()} cores: board in {board - begun:.1f} s, "
        f"{size:.0f} MiB of files in {pages - board:.1f} s; peak {peak():.2f} GiB, and in each process of "
        f"the board {below:.2f} GiB, of the files {peak(resource.RUSAGE_CHILDREN):.2f} GiB"
    )


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the processor that it takes, and what comes of it."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def peak(of: int = resource.RUSAGE_SELF) -> float:
    """GiB of this process, or of the largest that it started."""
    return resource.getrusage(of).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
