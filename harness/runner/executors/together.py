"""Tasks that all processes of one command do together: one unlearned model, spread over them.

``torchrun`` or ``accelerate launch`` has started the command several times. The first process plans, as
always, and says what is to be done; the others follow. Each does a task in a process of its own.
"""

from __future__ import annotations

import pickle
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from multiprocessing import connection
from typing import Any

from ...core.events import Event
from ...errors import HarnessError
from ..context import WorkerContext
from ..executor import Ended, Executor, Order, Running
from ..plan import task_name
from ..process import TaskProcess
from ..ranks import Rank
from ..record import explain
from .local import VISIBLE, devices

SPREAD = ("run_group", "score")
"""Tasks with a model that others have made. A target is trained by the first process: its weights stay the
same whatever the number of processes, and so does its key."""

LOOK = 0.1
"""Seconds between two looks at what the others have told."""

FAREWELL = timedelta(seconds=10)
"""How long the first waits until the others know of its end: the place where they meet may be its own."""

_runs = count()


class TogetherExecutor(Executor):
    """One task at a time."""

    shared_memory = True
    slots = 1

    def __init__(self, context: WorkerContext, rank: Rank) -> None:
        self.context, self.rank, self.number = context, rank, 0

    def start(self, order: Order) -> Running:
        if order.what not in SPREAD:
            process = TaskProcess(replace(self.context, rank=None), order, _device(self.rank))
            return Together(process, self.rank, order, "")
        self.number += 1
        message = pickle.dumps((self.context, order))
        self.rank.store().set(f"order/{self.number}", message)
        return Together(_process(self.context, order, self.rank, self.number), self.rank, order, self.number)

    def wait(self, running: Iterable[Any], seconds: float | None) -> bool:
        """Also when another process has told of its end."""
        tasks = list(running)
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            if connection.wait([place for task in tasks for place in task.process.places()], LOOK):
                return True
            if any(task.failure for task in tasks):
                return True
        return False

    def close(self) -> None:
        """Tasks have been closed one by one."""


class Together(Running):
    """A task of all processes, of which this one's is heard, and the others' only where they fail."""

    def __init__(self, process: TaskProcess, rank: Rank, order: Order, number: int | str) -> None:
        super().__init__()
        self.process, self.rank, self.order, self.number = process, rank, order, number
        self.told = False

    @property
    def failure(self) -> str:
        """What became of another process that has ended before its time; empty where none has."""
        if not self.number:
            return ""
        store = self.rank.store()
        for other in range(1, self.rank.size):
            name = f"failed/{self.number}/{other}"
            if store.check([name]):
                return f"process {other} of {self.rank.size} {store.get(name).decode()}"
        return ""

    def _news(self) -> Iterator[Event | Ended]:
        yield from self.process._news()
        if not self.told and (failure := self.failure):
            self.told = True
            name = task_name(self.order.task)
            yield Event(name, status="warning", message=f"{name}: {failure}")

    @property
    def over(self) -> bool:
        return self.process.over or bool(self.failure)

    @property
    def code(self) -> int:
        """One that lost another process is as one that was killed: it is tried once more."""
        return -signal.SIGKILL if self.failure else self.process.code

    def close(self) -> None:
        if self.number:
            self.rank.store().set(f"end/{self.number}", b"")
        self.process.close()


@contextmanager
def leading(rank: Rank) -> Iterator[Rank]:
    """One run of the first process; the others end theirs with it."""
    rank = _run(rank)
    store, interrupted = rank.store(), False
    try:
        yield rank
    except KeyboardInterrupt:  # which the others were, too
        interrupted = True
        raise
    finally:
        store.set("over", b"")
        with suppress(RuntimeError):  # those that have ended already
            store.wait([] if interrupted else [f"left/{number}" for number in range(1, rank.size)], FAREWELL)


def follow(rank: Rank) -> None:
    """Do what the first process says, until it is done. Raises HarnessError where that has ended."""
    rank = _run(rank)
    store = rank.store()
    try:
        for number in count(1):
            while not store.check([f"order/{number}"]):
                if store.check(["over"]):
                    store.set(f"left/{rank.number}", b"")
                    return
                time.sleep(LOOK)
            context, order = pickle.loads(store.get(f"order/{number}"))
            _take_part(context, order, rank, number, store)
    except RuntimeError as error:  # torch's class for a connection that is lost
        raise HarnessError("The first process has ended, and so has this one.") from error


def _take_part(context: WorkerContext, order: Order, rank: Rank, number: int, store: Any) -> None:
    """Do one task, and say where it failed alone."""
    process = _process(context, order, rank, number)
    try:
        while not process.over and not store.check([f"end/{number}"]):
            for _ in process.hear():  # the first process tells of it
                pass
            connection.wait(list(process.places()), LOOK)
        for _ in process.hear():
            pass
        if process.ended and process.ended.error:
            store.set(f"failed/{number}/{rank.number}", f"failed: {explain(process.ended.error)}")
        elif process.over and not process.ended:
            store.set(f"failed/{number}/{rank.number}", f"ended with exit code {process.code}")
    finally:
        process.close()


def _process(context: WorkerContext, order: Order, rank: Rank, number: int) -> TaskProcess:
    own = replace(context, rank=replace(rank, serves=False, task=f"{rank.task}/{number}"))
    return TaskProcess(own, order, _device(rank))


def _device(rank: Rank) -> dict[str, str]:
    """Has a process see one GPU of this machine alone."""
    there = devices()
    return {VISIBLE: there[rank.local % len(there)]} if len(there) > 1 else {}


def _run(rank: Rank) -> Rank:
    """The processes in their next run: a script may have several."""
    return replace(rank, task=f"{rank.task}/{next(_runs)}")
