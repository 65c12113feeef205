"""What a run shows while it works: one line per task, one for the whole, and a line for each failure."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..core.events import Event
from .console import Level, console, level, note
from .escape import plain
from .time_left import TimeLeft

T = TypeVar("T")


class RunProgress:
    """The progress of a run, event by event. On a terminal bars move; in a file each finished cell is a line.

    In a notebook one line is written over and over. With --quiet there is nothing but failures; with
    --verbose also when a task begins, how long a cell took, and the traceback of one that fails.
    """

    def __init__(self, cells: int, left: TimeLeft | None = None) -> None:
        self.level = level()  # events come in another thread
        self.console = console(stderr=True)
        # FORCE_COLOR makes a terminal of a file for rich: colours are wanted there, moving bars are not.
        moving = self.console.is_interactive and sys.stderr.isatty()
        self.live = moving and self.level > Level.QUIET
        self.line = None if moving or self.level == Level.QUIET else _line()
        self.cells, self.ended, self.failed = cells, 0, 0
        self.left = left or TimeLeft({})
        self.scores: dict[str, tuple[str, float]] = {}
        """By task, what it was at when the forget score was taken, and that score."""
        self.tasks: dict[str, TaskID] = {}
        self.begun: set[str] = set()
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.live,
            transient=True,
        )
        self.whole = self.progress.add_task("cells", total=cells)

    def __enter__(self) -> RunProgress:
        self.started = time.monotonic()
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        done = f"{self.ended} of {self.cells} cells in {time.monotonic() - self.started:.1f} s"
        if self.line:
            self.line(f"{done}, {self.failed} failed", True)
        elif self.level == Level.VERBOSE:
            self._print(done)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.status:
            self._ended(event)
            return
        if self.level == Level.VERBOSE and event.task not in self.begun:
            self.begun.add(event.task)
            self._print(plain(f"begun: {event.task}", lines=False))
        if event.value is not None:
            self.scores[event.task] = event.what, event.value
        if self.live:
            self.progress.update(self.whole, description=self._whole("cells"))
            if event.task not in self.tasks:
                self.tasks[event.task] = self.progress.add_task(event.task)
            self.progress.update(
                self.tasks[event.task],
                description=plain(self._at(event), lines=False),
                completed=event.done,
                total=event.total,
            )
        elif self.line:
            at = f"{self._at(event)}, {event.done} of {event.total}"
            self.line(plain(f"{self._whole(f'{self.ended} of {self.cells} cells')}; {at}", lines=False))

    def _at(self, event: Event) -> str:
        """What a task is at, with the last forget score of that."""
        what, score = self.scores.get(event.task, ("", 0.0))
        at = f"{event.task}: {event.what}"
        return f"{at}, forget {score:.2f}" if what == event.what else at

    def _whole(self, text: str) -> str:
        """The text, with the time that is left."""
        return ", ".join(filter(None, (text, str(self.left))))

    def _ended(self, event: Event) -> None:
        if event.cell:
            self.ended += 1
            self.failed += event.status == "failed"
            self.left.end(event.key, event.seconds)
            self.progress.update(self.whole, description=self._whole("cells"), completed=self.ended)
        else:
            task = self.tasks.pop(event.task, None)
            if task is not None:
                self.progress.remove_task(task)
        if event.status == "failed":
            # Further lines of an error begin further right: none of them passes for a line of ours.
            message = event.message.replace("\n", "\n  ")
            self._print(f"failed: {plain(event.task, lines=False)}: {message}", "red")
            if self.level == Level.VERBOSE:
                self._print(event.trace.rstrip())
        elif event.status == "warning":
            if self.level > Level.QUIET:
                self._print(plain(f"warning: {event.message}", lines=False), "yellow")
        elif self.level == Level.VERBOSE or (self.level == Level.NORMAL and not (self.live or self.line)):
            count = f" ({self._whole(f'{self.ended} of {self.cells}')})" if event.cell else ""
            took = f", {event.seconds:.1f} s" if event.cell and self.level == Level.VERBOSE else ""
            self._print(plain(f"{event.status}: {event.task}{count}{took}", lines=False))

    def _print(self, text: str, style: str | None = None) -> None:
        """A line to stderr, above the bars if there are some."""
        self.progress.console.print(text, style=style, soft_wrap=True)


def tracked(items: Iterable[T], number: int, what: str) -> Iterator[T]:
    """The items, with a bar of how many of so many there are; a line at the beginning where no bar can move.

    Nothing moves by itself between two items: they may come from processes that are forked meanwhile.
    """
    shown = console(stderr=True)
    if not (shown.is_interactive and sys.stderr.isatty()):
        note(f"{what}: {number} parts.")
        yield from items
        return
    bar = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    disabled = level() == Level.QUIET
    with Progress(*bar, console=shown, auto_refresh=False, transient=True, disable=disabled) as progress:
        whole = progress.add_task(what, total=number)
        progress.refresh()
        for item in items:
            progress.advance(whole)
            progress.refresh()
            yield item


def _line() -> Callable[..., None] | None:
    """``line(text, at_once=False)`` writes over a line of the notebook that this runs in; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    said = 0.0

    def line(text: str, at_once: bool = False) -> None:
        nonlocal said
        # Training tells every step: more than a few a second cannot be read, and each is a message.
        if at_once or time.monotonic() - said > 0.3:
            said = time.monotonic()
            handle.update({"text/plain": text}, raw=True)

    return line
