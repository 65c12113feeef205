"""The pool: run the tasks of a plan, each in a process of its own, wherever an executor starts it.

Whatever kills a process (memory, a signal, a plugin) is recorded in the cell it was at, and the others go on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.events import Event, Tell
from ..errors import HarnessError
from ..store import claims
from ..store.scores import read_samples
from ..store.store import Store
from . import places
from .context import WorkerContext
from .executor import Executor, Order, Running
from .pair import examined
from .plan import Cell, Conversion, Group, Plan, Reference, task_name
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
LOSSES = 5
"""Times in a row that a task may be lost before its cell fails: it may be what takes machines down."""

LOST = f"Its machine was lost while it ran this cell, {LOSSES} times in a row; the last time {{reason}}."


def execute(plan: Plan, context: WorkerContext, executor: Executor, tell: Tell, done: set[str]) -> None:
    """Make and score the models that are missing, then run every group with a cell that is not ``done``.

    The executor runs tasks side by side. Two runs may do so in one directory: each task is done by one of
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
    with Pool(context, executor, tell, groups) as pool:
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
        if (
            executor.slots > 1
        ):  # the longest first: what is left at the end is short, and no worker waits long
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
    losses: int = 0
    """Times in a row that it was lost, without a cell in between."""


class Pool:
    """Runs tasks in processes, as many at a time as the executor has slots."""

    def __init__(
        self, context: WorkerContext, executor: Executor, tell: Tell, groups: Iterable[Group]
    ) -> None:
        self.context, self.executor, self.tell = context, executor, tell
        self.running: dict[Running, tuple[Attempt, claims.Claim | None]] = {}
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
        alone = self.executor.shared_memory and (attempt.alone or self._alone())
        return len(self.running) < (1 if alone else self.executor.slots)

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
        process = self.executor.start(Order(attempt.what, attempt.task, self.utility, attempt.alone))
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

    def _heard(self, wait: float | None) -> list[Running]:
        """Pass on what processes tell, until one has ended or the time is up; those that have ended."""
        if not self.running and wait:
            time.sleep(wait)
        while self.running:
            told = self.executor.wait(self.running, wait)
            for process in self.running:
                for event in process.hear():
                    self.tell(event)
            over = [process for process in self.running if process.ended or process.over]
            if over or not told:
                return over
        return []

    def _finish(self, process: Running) -> Iterable[Attempt]:
        """Take leave of a process; what is left of its task is to be done by others."""
        for event in process.hear():  # what it told between the last look and its end
            self.tell(event)
        attempt, claim = self.running.pop(process)
        ended, code, lost = process.ended, process.code, process.lost
        process.close()
        _release(claim)
        if ended and ended.error:
            raise ended.error
        if process.committed:
            attempt = replace(attempt, losses=0)
        again, sentence = (attempt, "") if ended else self._judged(attempt, code, lost)
        if not isinstance(attempt.task, Group):
            if not ended:
                yield again or _given_up(attempt, sentence)
            return
        left = tuple(cell for cell in attempt.task.cells if cell.key not in process.committed)
        if ended and len(left) == len(attempt.task.cells):
            raise AssertionError(f"a process came to its end and left {len(left)} cells undone")
        if left and again is None:
            left = self._without_failed(attempt.task, left, process.begun, sentence)
            again = replace(attempt, alone=False, losses=0)
        if left and again:
            yield replace(again, task=replace(attempt.task, cells=left))

    def _judged(self, attempt: Attempt, code: int, lost: str) -> tuple[Attempt | None, str]:
        """The next attempt at a task whose process has died; after the last, None and why.

        One that was killed may have been the victim of others: it gets another try while no other runs. One
        whose machine was lost is begun elsewhere.
        """
        if lost:
            if attempt.losses + 1 == LOSSES:
                return None, LOST.format(reason=lost)
            message = f"{task_name(attempt.task)} was lost and is begun again: {lost}"
            self.tell(Event(task_name(attempt.task), status="warning", message=message))
            return replace(attempt, losses=attempt.losses + 1), ""
        if code < 0 and not attempt.alone:
            return replace(attempt, alone=True), ""
        return None, KILLED if code < 0 else EXITED.format(code=code)

    def _without_failed(
        self, group: Group, left: tuple[Cell, ...], begun: str, sentence: str
    ) -> tuple[Cell, ...]:
        """The cells that are still to be done. The one it died of fails; before the first, all."""
        failed = tuple(cell for cell in left if cell.key == begun) or left
        recorder = Recorder(self.context.source, Store(self.context.results, opened=True), self.tell)
        for cell in failed:
            recorder.failed(recorder.row(group, cell), WorkerDied(sentence))
        return tuple(cell for cell in left if cell not in failed)


def _given_up(attempt: Attempt, sentence: str) -> Attempt:
    """Raise HarnessError: a target, or scores, cannot be had."""
    kinds = {Reference: "the scoring of a model", Conversion: "the conversion of a model"}
    work = kinds.get(type(attempt.task), "the training of a target")
    raise HarnessError(sentence.replace("this cell", work))


def _release(claim: claims.Claim | None) -> None:
    if claim:
        claim.release()
