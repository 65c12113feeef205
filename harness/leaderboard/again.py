"""Cells that are made again: which are drawn, and whether their numbers are what is kept."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.names import CONTROLS, UTILITY
from ..errors import StoreError

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Number:
    """A final value of a cell as it is kept, with its 95 % interval over facts, and as it came out again."""

    name: str
    kept: float
    low: float | None
    high: float | None
    made: float | None

    @property
    def agrees(self) -> bool:
        """Whether it came out within the interval, or the same where it has none."""
        if self.made is None:
            return False
        if self.low is None or self.high is None:
            return abs(self.made - self.kept) <= 1e-6 * max(1.0, abs(self.kept))
        return self.low - 1e-9 <= self.made <= self.high + 1e-9

    @property
    def moved(self) -> float:
        """How far it is from what is kept; not at all where it is not there."""
        return 0.0 if self.made is None else abs(self.made - self.kept)


def sample(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """So many cells at random, of those that a run of one seed can make: the first, on the first target.

    Controls and lm-eval are left to the run's other parts. Raises StoreError where there are fewer.
    """
    fit = [
        row
        for row in rows
        if row["status"] == "ok"
        and (row["seed"], row["replicate"]) == (0, 0)
        and row["stage"] != UTILITY
        and row["method"] not in CONTROLS
    ]
    if len(fit) < count:
        raise StoreError(
            f"{count} cells cannot be drawn: of these results {len(fit)} can be made again, those of methods "
            "under seed 0 that worked; draw fewer, or name other --results."
        )
    return random.Random(seed).sample(sorted(fit, key=lambda row: row["key"]), count)


def numbers(kept: Sequence[Row], made: Sequence[Row]) -> list[Number]:
    """The final values of a cell's metrics, each beside what it is again."""
    again = {(row["split"], row["metric"]): row["value"] for row in made if row["step"] is None}
    return [
        Number(
            f"{row['metric']} on {row['split']}",
            row["value"],
            row["low"],
            row["high"],
            again.get((row["split"], row["metric"])),
        )
        for row in kept
        if row["step"] is None
    ]
