"""What runs tasks: the interface between the pool, which decides what is done next, and the back ends.

A back end starts a task somewhere and hears of it; which task, by whom it is claimed, and what becomes of
one that was lost is the pool's. The back ends are in ``executors``, a file each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..core.events import Event
from ..errors import HarnessError
from .plan import Task


class Unfit(HarnessError):
    """A machine cannot do a task that others can: it lacks something, or has other versions."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The last word of a process: its task is done, or raised an error that ends the run."""

    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A task that is to be started."""

    what: str
    """The method of ``Worker`` that does it."""
    task: Task
    utility: bool = False
    """Whether lm-eval is measured in this run."""
    alone: bool = False
    """Whether nothing else may take memory beside it: its process was killed before."""


@dataclass(eq=False)
class Running(ABC):
    """A task that was started: what it has told so far, and how it ended."""

    ended: Ended | None = field(default=None, init=False)
    begun: str = field(default="", init=False)
    """Key of the cell it is at."""
    committed: set[str] = field(default_factory=set, init=False)
    """Keys of the cells that it has ended."""

    def hear(self) -> Iterator[Event]:
        """What it has told since."""
        for message in self._news():
            if isinstance(message, Ended):
                self.ended = message
                continue
            if message.cell:
                self.committed.add(message.key)
                self.begun = ""
            elif message.key:
                self.begun = message.key
            yield message

    @abstractmethod
    def _news(self) -> Iterator[Event | Ended]:
        """The messages that have come since."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether it runs no more."""

    @property
    @abstractmethod
    def code(self) -> int:
        """How its process ended: the exit code, or a signal's number as a negative one."""

    @property
    def lost(self) -> str:
        """Why it ended for no fault of its own, so that it is started again; empty where it did not."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """End it if it runs, and forget it."""


@dataclass(eq=False)
class Remote(Running):
    """A task on another machine: its process may die there, and the machine may get lost."""

    died: int | None = field(default=None, init=False)
    """How its process ended, as :attr:`code` says it; None while it has not died."""
    reason: str = field(default="", init=False)
    """Why its machine was lost; empty while it was not."""

    @property
    def over(self) -> bool:
        return self.ended is not None or self.died is not None or bool(self.reason)

    @property
    def code(self) -> int:
        return self.died or 0

    @property
    def lost(self) -> str:
        return self.reason


class Executor(ABC):
    """Runs tasks side by side. Raises HarnessError, when it is made, where it can run none."""

    shared_memory = False
    """Whether all tasks run on one machine, and one that must be alone waits for all others."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many tasks may be started at a time."""

    @abstractmethod
    def start(self, order: Order) -> Running:
        """Start a task. Raises HarnessError where that cannot be."""

    @abstractmethod
    def wait(self, running: Iterable[Any], seconds: float | None) -> bool:
        """Return when one of these tasks has told something or has ended; False when the time is up."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind; no task runs any more."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
