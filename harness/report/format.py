"""Numbers for people: digits, intervals, and the dash for what was not measured."""

from __future__ import annotations

from ..leaderboard.columns import Estimate

DASH = "–"


def number(value: float | str | None, digits: int = 3) -> str:
    """A float with that many digits, a dash for None, and anything else as it is."""
    return DASH if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def interval(estimate: Estimate, digits: int = 3) -> str:
    """``0.500 [0.400, 0.600]``, or the number alone where it has no interval."""
    value = number(estimate.value, digits)
    if estimate.low is None:
        return value
    return f"{value} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def share(value: float | None, digits: int = 0) -> str:
    """A fraction in per cent."""
    return DASH if value is None else f"{value:.{digits}%}"
