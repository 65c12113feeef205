"""Work on all cores, in processes that see what this one holds and hand back what they made."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import current_process, get_context
from typing import Any, TypeVar

from ..errors import HarnessError
from ..store.provenance import cores

T = TypeVar("T")
R = TypeVar("R")

_shared: tuple[Callable[[Any], Any], Sequence[Any]]
"""The work at hand, in a process that was forked from the one that has it."""


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What ``work`` makes of each item, in their order. What it raises is raised here.

    It is done in this process where there is one core or one item, and where no process can be forked: what
    is large is neither sent nor read twice. Raises HarnessError where a process is killed.
    """
    global _shared
    workers = min(cores(), len(items))
    if workers < 2 or sys.platform != "linux" or current_process().daemon:
        yield from map(work, items)
        return
    _shared = work, items
    gc.freeze()  # a collection in a child would copy all that it shares
    try:
        with ProcessPoolExecutor(workers, get_context("fork")) as pool:
            yield from pool.map(_one, range(len(items)))
    except BrokenProcessPool as error:
        raise HarnessError(
            "A process that was at a part of the leaderboard was killed: most often memory ran out. Free "
            "some, and build again."
        ) from error
    finally:
        gc.unfreeze()


def _one(index: int) -> Any:
    work, items = _shared
    return work(items[index])
