"""Numbers for people: digits, intervals, and what stands for a number that was not measured."""

from __future__ import annotations

from .columns import Estimate

DASH = "–"
"""In tables, where there is no room for words."""

NOT_MEASURED = "not measured"

NOT_APPLICABLE = "n/a"
"""What a control has in place of a verdict: it is what verdicts are made from."""


def number(value: float | str | None, digits: int = 3, missing: str = DASH) -> str:
    """A float with that many digits, ``missing`` for None, and anything else as it is."""
    return missing if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def interval(estimate: Estimate, digits: int = 3, missing: str = DASH) -> str:
    """``0.500 [0.400, 0.600]``, or the number alone where it has no interval."""
    value = number(estimate.value, digits, missing)
    if estimate.low is None:
        return value
    return f"{value} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def share(value: float | None, digits: int = 0) -> str:
    """A fraction in per cent."""
    return DASH if value is None else f"{value:.{digits}%}"


def percent(estimate: Estimate, sign: str = " %") -> str:
    """``62 % [51, 73]``, or the number alone where its interval is not wider than that."""
    value, low, high = (None if part is None else round(100 * part) for part in estimate)
    if value is None:
        return DASH
    return f"{value}{sign}" + ("" if low is None or low == high else f" [{low}, {high}]")
