"""The process pool: run the tasks of a plan, in this process or in worker processes.

Whatever kills a worker (memory, a signal) is recorded in the cells it was at, after one more try.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from ..core.types import Event, Tell
from ..errors import HarnessError
from ..store.store import Store
from .context import WorkerContext
from .plan import Group, Plan, Reference
from .record import Recorder
from .worker import Worker


def execute(plan: Plan, context: WorkerContext, jobs: int, tell: Tell, done: set[str]) -> None:
    """Make the models that are missing, then run every group with a cell that is not ``done``.

    ``jobs`` > 1 uses that many processes. Raises HarnessError when a target cannot be made.
    """
    groups = plan.missing(done)
    needed = {key for group in groups for key in group.models}
    twins = list({group.compared.key: group.compared for group in groups if group.compared}.values())
    targets = [task for key, task in plan.recipes.items() if key in needed]
    if jobs == 1:
        worker = Worker(context, tell)
        for task in targets:
            worker.make_target(task)
        for twin in twins:
            worker.score_twin(twin)
        for group in groups:
            worker.run_group(group)
        return
    with Pool(context, jobs, tell) as pool:
        pool.each("make_target", targets)
        pool.each("score_twin", twins)
        # The longest first: what is left at the end is short, and no worker waits long for another.
        pool.each("run_group", sorted(groups, key=lambda group: -len(group.cells)))


class Pool:
    """Worker processes: one that dies is replaced, and its task tried once more."""

    def __init__(self, context: WorkerContext, jobs: int, tell: Tell) -> None:
        self.context, self.jobs, self.tell = context, jobs, tell
        self.spawn = get_context("spawn")
        self.pool: ProcessPoolExecutor | None = None
        self.telling: Connection | None = None
        self.listener: threading.Thread | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._stop(kill=kind is not None)

    def each(self, what: str, tasks: list[Any]) -> None:
        """Do all tasks. A task whose worker dies twice fails; a HarnessError of a task ends everything."""
        todo = deque((task, 1) for task in tasks)
        running: dict[Future[None], tuple[Any, int]] = {}
        while todo or running:
            while todo and len(running) < self.jobs:
                task, tries = todo.popleft()
                running[self._submit(what, task)] = (task, tries)
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
                # Nobody knows which of the tasks did it, so all that were running get another try, alone.
                self._stop(kill=True)
                for task, tries in running.values():
                    if tries > 1:
                        self._died(task)
                    else:
                        self._alone(what, task)
                running.clear()
                continue
            for future in finished:
                del running[future]
                future.result()

    def _alone(self, what: str, task: Any) -> None:
        """Do one task while no other runs: a worker that dies now died of it."""
        try:
            self._submit(what, task).result()
        except BrokenProcessPool:
            self._stop(kill=True)
            self._died(task)

    def _died(self, task: Any) -> None:
        """Record that a task's worker died twice."""
        error = WorkerDied(
            "The worker process was killed while it ran this cell, twice. Most often memory ran out: "
            "use fewer --jobs or a smaller --micro-batch."
        )
        if not isinstance(task, Group):
            work = "the scoring of a twin" if isinstance(task, Reference) else "the training of a target"
            raise HarnessError(str(error).replace("this cell", work))
        Recorder(self.context.source, Store(self.context.results), self.tell).fail_rest(task, error)

    def _submit(self, what: str, task: Any) -> Future[None]:
        if self.pool is None:
            # A pipe and a lock for each pool: a worker that is killed while it tells leaves them unusable.
            heard, self.telling = self.spawn.Pipe(duplex=False)
            arguments = (self.context, os.getpid(), self.telling, self.spawn.Lock())
            self.pool = ProcessPoolExecutor(self.jobs, self.spawn, initializer=_begin, initargs=arguments)
            self.listener = threading.Thread(target=self._listen, args=(heard,), daemon=True)
            self.listener.start()
        # Block SIGINT in workers: this process handles Ctrl-C, and kills them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _apart_from_main():
                return self.pool.submit(_do, what, task)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _stop(self, kill: bool) -> None:
        """End the processes, at once or when they are done."""
        if self.pool is None:
            return
        if kill:
            for process in list((self.pool._processes or {}).values()):
                process.kill()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = None
        assert self.telling is not None
        assert self.listener is not None
        self.telling.close()  # the last one that could write: the listener comes to the end
        self.listener.join()

    def _listen(self, heard: Connection) -> None:
        """Pass on what workers tell, until the last of them has ended."""
        with heard, contextlib.suppress(EOFError, OSError):
            while True:
                self.tell(heard.recv())


@contextlib.contextmanager
def _apart_from_main() -> Iterator[None]:
    """Have workers that are started in here import nothing but this package.

    Else each would first run the script again that this process runs, up to and into its call of
    ``harness.run``, unless its author knew to guard that by ``if __name__ == "__main__"``.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class WorkerDied(HarnessError):
    """A worker process ended without an answer."""


_worker: Worker | None = None


def _begin(context: WorkerContext, parent: int, telling: Connection, lock: Any) -> None:
    """Set a worker process up; it ends when its parent does, however that ends."""
    global _worker
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()

    def tell(event: Event) -> None:
        with lock, contextlib.suppress(OSError):  # nobody listens any more: the parent has ended
            telling.send(event)

    _worker = Worker(context, tell)


def _follow(parent: int) -> None:
    """End this process when its parent has ended."""
    # The parent gave its id: if it was killed before this worker began, getppid() is another's already.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _do(what: str, task: Any) -> None:
    assert _worker is not None
    getattr(_worker, what)(task)
