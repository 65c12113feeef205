"""Numbers as text, for people: digits, intervals, and the dash for what was not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MISSING = "–"


def number(value: Any, digits: int = 3) -> str:
    """A float with that many digits, anything else as it is, and a dash for None."""
    if not isinstance(value, float):
        return MISSING if value is None else str(value)
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before a zero


def share(value: float | None, digits: int = 0) -> str:
    """A fraction in percent."""
    return MISSING if value is None else f"{value:.{digits}%}"


def interval(row: Mapping[str, Any], column: str, digits: int = 3, space: str = " ") -> str:
    """A column of a row with its bounds, where there are some: ``0.512 [0.480, 0.544]``."""
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    value = number(row[column], digits)
    return value if low is None else f"{value}{space}[{number(low, digits)},{space}{number(high, digits)}]"
