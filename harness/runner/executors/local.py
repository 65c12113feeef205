"""Tasks in processes of this machine; where it has several GPUs, each process sees one of them alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from multiprocessing import connection

from ...store.provenance import cores
from ..context import WorkerContext
from ..executor import Executor, Order
from ..process import TaskProcess

VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalExecutor(Executor):
    """At most ``jobs`` processes side by side, spread evenly over the GPUs."""

    shared_memory = True

    def __init__(self, context: WorkerContext, jobs: int) -> None:
        self.context, self.jobs, self.devices = context, jobs, devices()
        self.held: dict[TaskProcess, str] = {}
        """The GPU that a process sees."""

    @property
    def slots(self) -> int:
        return self.jobs

    def start(self, order: Order) -> TaskProcess:
        if len(self.devices) < 2:
            return TaskProcess(self.context, order)
        self.held = {process: device for process, device in self.held.items() if not process.over}
        users = Counter(self.held.values())
        device = min(self.devices, key=lambda device: users[device])
        process = TaskProcess(self.context, order, {VISIBLE: device})
        self.held[process] = device
        return process

    def wait(self, running: Iterable[TaskProcess], seconds: float | None) -> bool:
        return bool(connection.wait([place for process in running for place in process.places()], seconds))

    def close(self) -> None:
        """Processes have been closed one by one."""


def devices() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    number = torch.cuda.device_count()
    return (named or [str(device) for device in range(number)])[:number]


def default_jobs() -> int:
    """A worker for each GPU; without one, for each core that this process may use."""
    return len(devices()) or cores()
