"""Tasks on a Ray cluster: each asks for a CPU per thread and, where the cluster has GPUs, for one of those.

Ray finds the machine; there a process of its own does the task, as it would here. Its news come back as what
a streaming generator yields, and with them, from machines that share no disk with this one, the results.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...core.aside import aside
from ...core.events import Event
from ...errors import ConfigError, HarnessError, one_line
from ..config import FOLDER
from ..context import WorkerContext
from ..executor import Ended, Executor, Order, Remote, Unfit
from ..plan import task_name
from .local import VISIBLE
from .node import Assignment, Died, Message, NoSharedDisk, assigned, perform
from .parcels import Parcel

ABSENT = "--executor ray: Ray is not installed. Install it with: pip install 'unlearning-harness[ray]'"

AHEAD, MINIMUM = 2, 8
"""Tasks that Ray is given for each that it has room for, and at least: what waits makes a cluster grow."""

KILLED = -9
"""The code of a process that was killed."""

LOOK = 5.0
"""Seconds without news after which it is looked whether a machine is left that can do the work."""

REACHED = 10.0
"""Seconds in which a cluster must answer."""


class RayExecutor(Executor):
    """Runs tasks on the cluster at ``address``, or on that of this machine, which is begun if need be."""

    def __init__(self, context: WorkerContext, jobs: int | None, address: str | None) -> None:
        self.context, self.jobs = context, jobs
        self.ray = _imported()
        self.own = not self.ray.is_initialized()
        """Whether the connection is this run's, and not a notebook's."""
        if self.own:
            self._connect(address)
        self.unfit: dict[str, str] = {}
        """Why machines can do nothing, by their ids."""
        self.sent: dict[str, Any] = {}
        """What was put into Ray's store, by its path in the cache."""
        self.sends_files = False
        """Whether a machine was met that shares no disk with this one."""
        self.gpus = int("GPU" in self.ray.cluster_resources())
        self.marks: tuple[Path, ...] = ()
        try:
            self._check_room()
        except ConfigError:
            self.close()
            raise
        self.marks = tuple(_marks(context))

    @property
    def slots(self) -> int:
        return self.jobs or max(MINIMUM, AHEAD * self._room())

    def start(self, order: Order) -> RayTask:
        return RayTask(self, order)

    def wait(self, running: Iterable[RayTask], seconds: float | None) -> bool:
        streams = [task.stream for task in running]
        while True:
            ready, _ = self.ray.wait(streams, num_returns=1, timeout=LOOK if seconds is None else seconds)
            if ready or seconds is not None:
                return bool(ready)
            self._check_fit()  # the last machine that could do the work may have died

    def close(self) -> None:
        for mark in self.marks:
            with suppress(OSError):
                mark.unlink()
        if self.own:
            self.ray.shutdown()

    def submit(self, order: Order) -> Any:
        """Have Ray run a task: the stream of what it tells."""
        refs = None
        if self.sends_files:
            refs = {path: ref for path in self.context.needs(order.task) if (ref := self._put(path))}
        options: dict[str, Any] = {"label_selector": {"ray.io/node-id": f"!in({','.join(self.unfit)})"}}
        remote = self.ray.remote(_work).options(
            name=task_name(order.task),
            num_cpus=self._most_cpus() if order.alone else self.context.threads,
            num_gpus=self.gpus,
            num_returns="streaming",
            max_retries=0,  # what is left of a lost task is another task
            **(options if self.unfit else {}),
        )
        return remote.remote(assigned(self.context, order, self.marks), refs)

    def leave_out(self, node: str, reason: str) -> str:
        """Give a machine no more tasks: a sentence, once. Raises HarnessError where none is left."""
        machine: dict[str, Any] = next((each for each in self.ray.nodes() if each["NodeID"] == node), {})
        sentence = f"{machine.get('NodeManagerHostname', node[:8])} ({node[:8]}) is left out: {reason}."
        known = node in self.unfit
        self.unfit[node] = sentence
        self._check_fit()
        return "" if known else sentence

    def _check_fit(self) -> None:
        """Raise HarnessError where every machine was left out."""
        if self.unfit and all(node["NodeID"] in self.unfit for node in self._nodes()):
            raise HarnessError(
                "\n".join(["No machine of the cluster can do the work:", *self.unfit.values()])
            )

    def _connect(self, address: str | None) -> None:
        """Connect to a cluster, or begin one. Raises ConfigError where there is none at the address."""
        said = f"--ray-address {address}:"
        if address and "://" in address:
            raise ConfigError(
                f"{said} a run cannot be done through Ray's client. Give HOST:PORT, and run the command on a "
                "machine of the cluster (`ray job submit -- harness run ...` does)."
            )
        host, _, port = (address or "").rpartition(":")
        try:
            if host and port.isdigit():
                socket.create_connection((host, int(port)), REACHED).close()
            elif address and address not in ("auto", "local"):
                raise ConfigError(f"{said} write HOST:PORT, or 'auto' for the cluster of this machine.")
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that is begun here
            self.ray.init(address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except ConfigError:
            raise
        except Exception as error:  # Ray raises a dozen unrelated classes
            where = said if address else "--executor ray:"
            raise ConfigError(
                f"{where} no Ray cluster can be reached ({one_line(error)}). Begin one with "
                "`ray start --head`, or leave --ray-address out."
            ) from error

    def _check_room(self) -> None:
        """Raise ConfigError where no machine has as many CPUs as a task asks for."""
        if 0 < self._most_cpus() < self.context.threads:
            raise ConfigError(
                f"--threads {self.context.threads}: no machine of the cluster has so many CPUs; the largest "
                f"has {self._most_cpus()}."
            )

    def _nodes(self) -> list[dict[str, Any]]:
        """The machines that run and can do tasks."""
        return [node for node in self.ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]

    def _most_cpus(self) -> int:
        return max((int(node["Resources"]["CPU"]) for node in self._nodes()), default=0)

    def _room(self) -> int:
        """How many tasks the cluster has room for."""
        if self.gpus:
            return int(self.ray.cluster_resources().get("GPU", 0))
        return sum(int(node["Resources"]["CPU"]) // self.context.threads for node in self._nodes())

    def _put(self, path: str) -> Any:
        """What is at a path of the cache, in Ray's store; None where nothing is there."""
        if path not in self.sent and (self.context.cache / path).exists():
            self.sent[path] = self.ray.put(Parcel.of("cache", self.context.cache, path))
        return self.sent.get(path)


class RayTask(Remote):
    """A task that Ray was given. A machine that cannot do it is left out, and Ray finds another."""

    def __init__(self, executor: RayExecutor, order: Order) -> None:
        super().__init__()
        self.executor, self.order = executor, order
        self._submit()

    def _submit(self) -> None:
        self.node, self.stream = "", self.executor.submit(self.order)

    def _news(self) -> Iterator[Event | Ended]:
        ray = self.executor.ray
        while not self.over and ray.wait([self.stream], timeout=0)[0]:
            try:
                told = ray.get(next(self.stream))
            except StopIteration:
                self.reason = self.reason or "it came to no end"
            except ray.exceptions.RayError as error:
                yield from self._broken(error)
            else:
                for message in told if isinstance(told, list) else [told]:
                    yield from self._understood(message)

    def _understood(self, message: Message | str) -> Iterator[Event | Ended]:
        """What is news for the pool of what another machine has sent."""
        if isinstance(message, str):
            self.node = message
        elif isinstance(message, Parcel):
            context = self.executor.context
            message.put({"results": context.results, "cache": context.cache}[message.root])
        elif isinstance(message, Died):
            self.died = message.code
        elif isinstance(message, NoSharedDisk):
            self.executor.sends_files = True
            self._submit()
        elif isinstance(message, Ended) and isinstance(message.error, Unfit):
            if sentence := self.executor.leave_out(self.node, str(message.error)):
                yield Event(task_name(self.order.task), status="warning", message=sentence)
            self._submit()
        else:
            yield message

    def _broken(self, error: Exception) -> Iterator[Ended]:
        """What it means that Ray could not bring a task to its end."""
        errors = self.executor.ray.exceptions
        if isinstance(error, errors.OutOfMemoryError):
            self.died = KILLED
        elif isinstance(error, errors.RayTaskError | errors.RuntimeEnvSetupError):
            yield Ended(
                HarnessError(
                    f"A machine of the cluster could not begin a task ({one_line(error)}): install the same "
                    "version of the harness on all machines."
                )
            )
        else:
            self.reason = one_line(error).partition(". ")[0]

    def close(self) -> None:
        if not self.over:
            with suppress(self.executor.ray.exceptions.RayError):
                self.executor.ray.cancel(self.stream, force=True)


def _work(assignment: Assignment, refs: dict[str, Any] | None) -> Iterator[Any]:
    """Do a task on the machine that Ray has found: its id, and then what there is to tell."""
    import ray

    yield ray.get_runtime_context().get_node_id()
    environment = {VISIBLE: os.environ[VISIBLE]} if VISIBLE in os.environ else {}
    fetch = None if refs is None else lambda path: ray.get(refs[path]) if path in refs else None
    for told in perform(assignment, fetch, environment):
        if told:
            yield told


def _imported() -> Any:
    """Ray. Raises ConfigError where it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError(ABSENT) from error
    return ray


def _marks(context: WorkerContext) -> Iterator[Path]:
    """Empty files in the directories of the run: who sees them shares those. A cache need not be writable."""
    for directory in (context.results / FOLDER, context.cache):
        mark = aside(directory.absolute() / "shared")
        with suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            yield mark
