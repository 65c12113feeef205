"""A back end for tests: tasks are done as another machine would do them, one after the other.

It is what the interface asks of a back end and no more: a machine that shares no disk, and that may get lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.core.events import Event
from harness.runner.context import WorkerContext
from harness.runner.executor import Ended, Executor, Order, Remote
from harness.runner.executors.node import Died, assigned, perform
from harness.runner.executors.parcels import Parcel


class Away(Executor):
    """Does each task when it is waited for. ``losses`` tasks with a cell get lost at their first cell."""

    slots = 1

    def __init__(self, context: WorkerContext, losses: int = 0) -> None:
        self.context, self.losses = context, losses
        self.orders: list[Order] = []

    def start(self, order: Order) -> Trip:
        self.orders.append(order)
        return Trip(self, order)

    def wait(self, running: Iterable[Any], seconds: float | None) -> bool:
        return True

    def close(self) -> None:
        """Nothing is left."""


class Trip(Remote):
    """A task on the other machine."""

    def __init__(self, executor: Away, order: Order) -> None:
        super().__init__()
        absent = executor.context.results.absolute() / "nobody-shares-this"
        assignment = assigned(executor.context, order, (absent,))
        self.executor = executor
        self.stream = perform(assignment, self._fetch)

    def _fetch(self, path: str) -> Parcel | None:
        cache = self.executor.context.cache
        return Parcel.of("cache", cache, path) if (cache / path).exists() else None

    def _news(self) -> Iterator[Event | Ended]:
        context = self.executor.context
        for message in [] if self.over else next(self.stream, []):
            began = isinstance(message, Event) and bool(message.key) and not message.cell
            if self.reason:  # what comes with the news that a cell began is lost, and may come before it
                if began:
                    yield message
            elif isinstance(message, Parcel) and not (self.executor.losses and message.root == "results"):
                message.put({"results": context.results, "cache": context.cache}[message.root])
            elif isinstance(message, Died):
                self.died = message.code
            elif self.executor.losses and (isinstance(message, Parcel) or began):
                self.executor.losses -= 1
                self.reason = "its cable was cut"
                if began:
                    yield message
            else:
                yield message

    def close(self) -> None:
        self.stream.close()
