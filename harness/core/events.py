"""What a worker tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker tells: ``task`` is at ``done`` of ``total`` of ``what``; or it ended with ``status``."""

    task: str
    what: str = ""
    done: int = 0
    total: int = 0
    status: str = ""
    message: str = ""
    trace: str = ""
    """Where in the code it failed: the traceback."""
    seconds: float = 0.0
    """What a cell took."""
    cell: bool = False
    """True when it is a cell that ended, with its name as the task."""
    key: str = ""
    """Of the cell that begins or ended."""
    value: float | None = None
    """The forget metric where unlearning was last looked at."""


Tell = Callable[[Event], None]
