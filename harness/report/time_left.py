"""How long something takes, for people, and how much of it is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

SURE = 60.0
"""Core seconds after which what cells take here counts as much as what they were expected to take."""

LITTLE = 30.0
"""Seconds of which nobody needs to be told that they are left."""


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``1 h 50 min``: no more exact than an estimate is."""
    if seconds < 55:
        return f"{max(round(seconds, -1), 10):.0f} s"
    minutes = max(round(seconds / 60), 1)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def expected(seconds: float, workers: int, cells: int = 0, models: int = 0) -> str:
    """What a run takes; ``cells`` and ``models`` (to train) are those of which nothing is known."""
    counted = ((cells, "cell"), (models, "model"))
    unknown = " and ".join(many(number, noun) for number, noun in counted if number)
    if not seconds and unknown:
        return f"no estimate yet, since nothing like {unknown} of it was measured here"
    known = f"about {duration(seconds)} on {many(workers, 'worker')}"
    return f"{known}, and {unknown} of which there is no estimate yet" if unknown else known


def many(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}{'s'[: number != 1]}"


class TimeLeft:
    """The time until all cells have ended: from what was expected of each, and from what others took here."""

    def __init__(
        self,
        cells: Mapping[str, float | None],
        workers: int = 1,
        before: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``cells`` are core seconds by key, None where nobody knows; ``before`` passes before the first."""
        self.waiting, self.workers, self.before, self.clock = dict(cells), workers, before, clock
        self.taken = self.expected = 0.0
        self.ended: list[float] = []
        self.looked = clock()

    def end(self, key: str, seconds: float) -> None:
        """A cell has ended, and took so long; no time where another run did it."""
        expected = self.waiting.pop(key, None)
        if seconds and expected is not None:
            self.taken, self.expected = self.taken + seconds, self.expected + expected
        if seconds:
            self.ended.append(seconds)
        self.before, self.looked = 0.0, self.clock()

    def seconds(self) -> float | None:
        """What is left now; None where that is not known of a cell, and none has ended yet."""
        unknown = sum(seconds is None for seconds in self.waiting.values())
        if unknown and not self.ended:
            return None
        pace = (self.taken + SURE) / (self.expected + SURE)
        left = pace * sum(filter(None, self.waiting.values()))
        if unknown:
            left += unknown * sum(self.ended) / len(self.ended)
        return max(
            self.before + left / min(self.workers, len(self.waiting) or 1) - (self.clock() - self.looked), 0.0
        )

    def __str__(self) -> str:
        """``about 12 min left``, or nothing where nothing is known or little is left."""
        left = self.seconds()
        return "" if left is None or left < LITTLE else f"about {duration(left)} left"
