"""The processes that hold one model together: which of them this is, and whether all are at the same place.

They do the same in step, and what one sends another waits for. So where something failed in one of them
alone, nothing that comes after it would fit together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

PATIENCE = timedelta(minutes=5)
"""How long one waits for the others at the end of a cell."""

STARTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun and `accelerate launch` tell each process."""

SETTINGS = ("ACCELERATE_", "FSDP_")
"""Beginnings of what `accelerate launch` tells besides, of how accelerate is to train: it does not here."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One of ``size`` processes that torchrun or ``accelerate launch`` started, and where they meet."""

    number: int
    size: int
    local: int
    """Its number on its machine, which is that of its GPU."""
    host: str
    port: int
    serves: bool
    """Whether it keeps the place where they meet; otherwise torchrun does."""
    task: str = ""
    """What they are at."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that plans, writes and shows."""
        return self.number == 0

    def store(self) -> Any:
        """What all of them read and write, for this task alone. A torch.distributed.Store."""
        from torch.distributed import PrefixStore

        return PrefixStore(self.task, _meeting(self.host, self.port, self.serves, os.getpid()))

    def join(self) -> None:
        """Make this process one of torch's default group. Returns when all have."""
        import torch

        backend = "nccl" if torch.cuda.is_available() else "gloo"
        store = self.store()
        torch.distributed.init_process_group(backend, store=store, rank=self.number, world_size=self.size)

    def meet(self, moment: str, worked: bool) -> frozenset[bool]:
        """Whether it worked for the others, too, who come to the same moment; nothing where one does not.

        Whoever is there has sent the others all that they waited for.
        """
        store = self.store()
        store.set(f"{moment}/{self.number}", str(worked))
        names = [f"{moment}/{number}" for number in range(self.size)]
        try:
            store.wait(names, PATIENCE)
            return frozenset(store.get(name) == b"True" for name in names)
        except RuntimeError:  # the time is up, or the place where they meet is gone
            return frozenset()


@cache
def _meeting(host: str, port: int, serves: bool, process: int) -> Any:
    """The connection of a process, this one."""
    from torch.distributed import TCPStore

    return TCPStore(host, port, is_master=serves, wait_for_workers=False)


def started() -> Rank | None:
    """Which of several processes of one command this is; None where it is the only one.

    What told so is taken from the environment: libraries would act on it, each in its own way.
    """
    if all(name in os.environ for name in STARTED):
        _told.append(_rank(*(os.environ.pop(name) for name in STARTED)))
        for name in [name for name in os.environ if name.startswith(SETTINGS)]:
            del os.environ[name]
    return _told[-1] if _told else None


_told: list[Rank | None] = []


def _rank(number: str, size: str, local: str, host: str, port: str) -> Rank | None:
    if int(size) < 2:
        return None
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    serves = int(number) == 0 and not served
    return Rank(int(number), int(size), int(local), host, int(port), serves, f"harness/{attempt}")


def follows() -> bool:
    """Whether this is one of several processes, and not the first: it shows nothing."""
    rank = started()
    return rank is not None and not rank.leads
