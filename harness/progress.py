"""What a run shows while it works: one line per task, one for the whole, and a line for each failure."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from .execute import Event


class Shown:
    """Takes the events of a run. On a terminal bars move; in a file each finished cell is a line."""

    def __init__(self, cells: int) -> None:
        self.console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self.live = self.console.is_terminal
        self.cells, self.ended, self.failed = cells, 0, 0
        self.tasks: dict[str, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.live,
            transient=True,
        )
        self.whole = self.progress.add_task("cells", total=cells)

    def __enter__(self) -> Shown:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.status:
            self._ended(event)
        elif self.live:
            if event.task not in self.tasks:
                self.tasks[event.task] = self.progress.add_task(event.task)
            self.progress.update(
                self.tasks[event.task],
                description=f"{event.task}: {event.what}",
                completed=event.done,
                total=event.total,
            )

    def _ended(self, event: Event) -> None:
        if event.cell:
            self.ended += 1
            self.failed += event.status == "failed"
            self.progress.update(self.whole, completed=self.ended)
        else:
            task = self.tasks.pop(event.task, None)
            if task is not None:
                self.progress.remove_task(task)
        if event.status == "failed":
            self.progress.console.print(f"failed: {event.task}: {event.message}", style="red", soft_wrap=True)
        elif not self.live:
            count = f" ({self.ended} of {self.cells})" if event.cell else ""
            print(f"{event.status}: {event.task}{count}", file=sys.stderr, flush=True)
