"""Tasks in processes of this machine; where it has several GPUs, each process sees one of them alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from multiprocessing import connection

from ...errors import ConfigError
from ...store.provenance import cores
from ..context import WorkerContext
from ..executor import Executor, Order
from ..process import TaskProcess

VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalExecutor(Executor):
    """At most ``jobs`` processes side by side, spread evenly over the GPUs."""

    shared_memory = True

    def __init__(self, context: WorkerContext, jobs: int) -> None:
        self.context, self.jobs, self.devices = context, jobs, devices(context.device)
        self.held: dict[TaskProcess, str] = {}
        """The GPU that a process sees."""

    @property
    def slots(self) -> int:
        return self.jobs

    def start(self, order: Order) -> TaskProcess:
        if len(self.devices) < 2 and ":" not in self.context.device:
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


def devices(chosen: str | None = None) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; of a ``chosen`` one that."""
    import torch

    if chosen in ("cpu", "mps") or not torch.cuda.is_available():
        return []
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    number = torch.cuda.device_count()
    names = (named or [str(device) for device in range(number)])[:number]
    index = (chosen or "").partition(":")[2]
    return names[int(index) :][:1] if index else names


def default_jobs(device: str | None = None) -> int:
    """A worker for each GPU; without one, for each core that this process may use."""
    return len(devices(device)) or cores()


def check_device(device: str | None) -> None:
    """Raise ConfigError where this machine has no such device."""
    if device in (None, "cpu"):
        return  # every machine has one, and torch is not loaded to say so
    import torch

    if device == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("--device mps: torch sees no GPU of Apple here; leave it out, or use --device cpu.")
    if device.startswith("cuda") and not devices(device):
        raise ConfigError(
            f"--device {device}: torch sees {len(devices()) or 'no'} GPU{'s' * (len(devices()) != 1)} of "
            "CUDA here, numbered from 0; name one of them, leave it out, or use --device cpu."
        )
