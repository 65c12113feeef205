"""The process pool: run the tasks of a plan, each in a process of its own.

Whatever kills a process (memory, a signal, a plugin) is recorded in the cell it was at, and the others go on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

from ..core.events import Event, Tell
from ..errors import HarnessError
from ..store import claims
from ..store.store import Store, read_samples
from . import places
from .context import WorkerContext
from .pair import examined
from .plan import Cell, Conversion, Group, Plan, Reference, task_name
from .process import TaskProcess
from .record import Recorder

AGAIN = 0.5
"""Seconds until what another run had claimed is looked at again."""

KILLED = (
    "The worker process was killed while it ran this cell, twice. Most often memory ran out: "
    "use fewer --jobs or a smaller --micro-batch."
)
EXITED = (
    "The worker process ended itself with exit code {code} while it ran this cell: a plugin must raise an "
    "exception and not call os._exit."
)


def execute(plan: Plan, context: WorkerContext, jobs: int, tell: Tell, done: set[str]) -> None:
    """Make and score the models that are missing, then run every group with a cell that is not ``done``.

    ``jobs`` processes run side by side. Two runs may do so in one directory: each task is done by one of
    them, and waited for by the other. Raises HarnessError when a model cannot be made, or a ready pair is
    none; one that is odd is told of.
    """
    groups = plan.missing(done)
    needed = {key for group in groups for key in group.trained_models}
    references = dict.fromkeys(reference for group in groups for reference in group.references)
    unscored = [each for each in references if read_samples(each.path(context.cache)) is None]
    targets = {key: task for key, task in plan.recipes.items() if key in needed}
    untrained = places.to_train(plan, context.cache, done)
    here, cached = context.results / "claims", context.cache / "claims"
    with Pool(context, jobs, tell, groups) as pool:
        # What is in the cache is only looked at: that needs no claim, and no cache that can be written.
        for source in context.sources:
            if source.file and places.is_read(plan, context.cache, done):
                claim = None if source.is_converted() else cached / source.converted.name
                pool.each([Attempt("convert", Conversion(source), claim)])
        pool.each(
            Attempt("make_target", task, cached / key if key in untrained else None)
            for key, task in targets.items()
        )
        for screens in (True, False):  # which facts are asked is known before anything else is scored
            pool.each(
                Attempt("score", each, cached / each.key) for each in unscored if each.screens == screens
            )
        for scores in dict.fromkeys(group.pair for group in groups if group.pair):
            if odd := examined(scores, context):
                tell(Event("ready pair", status="warning", message=odd))
        if jobs > 1:  # the longest first: what is left at the end is short, and no worker waits long
            groups.sort(key=lambda group: -len(group.cells))
        pool.each(Attempt("run_group", group, here / group.key) for group in groups)


class WorkerDied(HarnessError):
    """A worker process ended without an answer."""


@dataclass(frozen=True)
class Attempt:
    """A task, the file of its claim, and whether its process was killed before: then it runs alone."""

    what: str
    task: Any
    claim: Path | None
    alone: bool = False


class Pool:
    """Runs tasks in processes, at most ``jobs`` at a time."""

    def __init__(self, context: WorkerContext, jobs: int, tell: Tell, groups: Iterable[Group]) -> None:
        self.context, self.jobs, self.tell = context, jobs, tell
        self.running: dict[TaskProcess, tuple[Attempt, claims.Claim | None]] = {}
        self.utility = any(cell.tasks for group in groups for cell in group.cells)
        self.before = {cell.key: self._stamp(cell) for group in groups for cell in group.cells}
        """When each cell was last committed before this run, of those that are to be done."""

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for process, (_, claim) in self.running.items():
            process.close()
            _release(claim)

    def each(self, attempts: Iterable[Attempt]) -> None:
        """Do all tasks. An error that a task raises ends everything."""
        todo = deque(attempts)
        while todo or self.running:
            claimed = []  # another run is at them
            while todo and self._has_room(todo[0]):
                attempt = todo.popleft()
                if not self._start(attempt):
                    claimed.append(attempt)
            for process in self._heard(AGAIN if claimed else None):
                todo.extend(self._finish(process))
            todo.extend(claimed)

    def _has_room(self, attempt: Attempt) -> bool:
        return len(self.running) < (1 if attempt.alone or self._alone() else self.jobs)

    def _alone(self) -> bool:
        return any(attempt.alone for attempt, _ in self.running.values())

    def _start(self, attempt: Attempt) -> bool:
        """Start a task, or leave it where another run has done it; False while another is at it."""
        claim = claims.take(attempt.claim) if attempt.claim else None
        if attempt.claim and claim is None:
            self.tell(Event(task_name(attempt.task), "another run is at it", 0, 1))
            return False
        if isinstance(attempt.task, Group):
            attempt = replace(attempt, task=self._without_others(attempt.task))
            if not attempt.task.cells:
                _release(claim)
                self.tell(Event(task_name(attempt.task), status="done"))
                return True
        process = TaskProcess(self.context, attempt.what, attempt.task, self.utility)
        self.running[process] = attempt, claim
        return True

    def _without_others(self, group: Group) -> Group:
        """The group with the cells that no other run has committed since this one began."""
        left = tuple(cell for cell in group.cells if self._stamp(cell) == self.before[cell.key])
        for cell in group.cells:
            if cell not in left:
                self.tell(Event(f"{task_name(group)} {cell.variant}", status="done", cell=True, key=cell.key))
        return replace(group, cells=left)

    def _stamp(self, cell: Cell) -> int | None:
        try:
            return (self.context.results / "cells" / f"{cell.key}.parquet").stat().st_mtime_ns
        except OSError:
            return None

    def _heard(self, wait: float | None) -> list[TaskProcess]:
        """Pass on what processes tell, until one has ended or the time is up; those that have ended."""
        if not self.running and wait:
            time.sleep(wait)
        while self.running:
            places = [place for process in self.running for place in process.places()]
            ready = connection.wait(places, wait)
            for process in self.running:
                for event in process.hear():
                    self.tell(event)
            over = [process for process in self.running if process.ended or process.over]
            if over or not ready:
                return over
        return []

    def _finish(self, process: TaskProcess) -> Iterable[Attempt]:
        """Take leave of a process; what is left of its task is to be done by others."""
        process.process.join()
        for event in process.hear():  # what it told between the last look and its end
            self.tell(event)
        attempt, claim = self.running.pop(process)
        code = process.code
        process.close()
        _release(claim)
        if process.ended and process.ended.error:
            raise process.ended.error
        if not isinstance(attempt.task, Group):
            if process.ended is None:
                yield self._lost(attempt, code)
            return
        left = tuple(cell for cell in attempt.task.cells if cell.key not in process.committed)
        if left and process.ended is None:
            left, attempt = self._died(attempt, left, process.begun, code)
        elif len(left) == len(attempt.task.cells):
            raise AssertionError(f"a process came to its end and left {len(left)} cells undone")
        if left:
            yield replace(attempt, task=replace(attempt.task, cells=left))

    def _lost(self, attempt: Attempt, code: int) -> Attempt:
        """The second attempt at a target or scores whose process died. Raises HarnessError for the third."""
        if code < 0 and not attempt.alone:
            return replace(attempt, alone=True)
        kinds = {Reference: "the scoring of a model", Conversion: "the conversion of a model"}
        work = kinds.get(type(attempt.task), "the training of a target")
        raise HarnessError(_sentence(code).replace("this cell", work))

    def _died(
        self, attempt: Attempt, left: tuple[Cell, ...], begun: str, code: int
    ) -> tuple[tuple[Cell, ...], Attempt]:
        """The cells that are still to be done after their process died, and how.

        One that was killed may have been the victim of others: it gets another try while no other runs.
        The cell it died of fails then, or all, where it died before the first.
        """
        if code < 0 and not attempt.alone:
            return left, replace(attempt, alone=True)
        failed = tuple(cell for cell in left if cell.key == begun) or left
        recorder = Recorder(self.context.source, Store(self.context.results, opened=True), self.tell)
        for cell in failed:
            recorder.failed(recorder.row(attempt.task, cell), WorkerDied(_sentence(code)))
        return tuple(cell for cell in left if cell not in failed), replace(attempt, alone=False)


def _release(claim: claims.Claim | None) -> None:
    if claim:
        claim.release()


def _sentence(code: int) -> str:
    return KILLED if code < 0 else EXITED.format(code=code)
