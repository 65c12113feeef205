"""Processes that hold one model together, forked from the test so that nothing is loaded again."""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.runner.ranks import Rank


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def in_ranks(size: int, folder: Path, function: Callable[[int], Any]) -> list[Any]:
    """What ``function(number)`` returns in each of ``size`` processes of one group, from the first on.

    With a size of 1 it is called here, in no group at all.
    """
    if size == 1:
        return [function(0)]
    port, children = free_port(), []
    for number in range(size):
        pid = os.fork()
        if pid == 0:
            _work(Rank(number, size, number, "127.0.0.1", port, number == 0, "test"), folder, function)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    results = [pickle.loads((folder / f"{size}-{number}").read_bytes()) for number in range(size)]
    for result in results:
        if isinstance(result, str):
            raise AssertionError(result)
    return [value for (value,) in results]


def _work(rank: Rank, folder: Path, function: Callable[[int], Any]) -> None:
    import torch

    result: Any
    try:
        rank.join()
        result = (function(rank.number),)
        torch.distributed.barrier()
    except BaseException as error:
        result = "".join(traceback.format_exception(error))
    (folder / f"{rank.size}-{rank.number}").write_bytes(pickle.dumps(result))
    os._exit(0)
