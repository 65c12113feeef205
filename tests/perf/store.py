"""How a results directory and its leaderboard grow: 10^3 to 10^6 synthetic cells in files of many.

    PYTHONPATH=tests python tests/perf/store.py [--cells 1000 10000] [--board 10000] [--keep DIR]

A line for each number of cells; above ``--board`` cells no leaderboard is built of them. Seconds are those of
the processor, the peak is that of the process up to then, which makes each grid in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from perf.grid import write

from harness.leaderboard.groups import grouped
from harness.report import files
from harness.store import packed
from harness.store.store import Store, tables

T = TypeVar("T")

DRAWN = 20
"""Cells of a grid that are looked at by themselves, to see that it is sound."""


def main() -> None:
    """Print a line for each number of cells."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--board", type=int, default=10_000)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    for cells in given.cells:
        with tempfile.TemporaryDirectory() as folder:
            place = (given.keep or Path(folder)) / str(cells)
            for work in (made, stored, *([built] if cells <= given.board else [])):
                with get_context("spawn").Pool(1) as process:
                    print(process.apply(work, (place, cells)), flush=True)


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
    """What it takes to read it, and to build its leaderboard and pages."""
    read, found = seconds(lambda: tables(packed.stores([place])))
    after = peak()
    group, groups = seconds(lambda: grouped(*found))
    board, board_of = seconds(lambda: files.build(groups))
    pages, _ = seconds(board_of.files)
    return (
        f"{cells} cells, {board_of.board.num_rows} rows: read in {read:.2f} s ({after:.2f} GiB), grouped in "
        f"{group:.2f} s, board in {board:.2f} s, page and files in {pages:.2f} s; peak {peak():.2f} GiB"
    )


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the processor that it takes, and what comes of it."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def peak() -> float:
    """GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
