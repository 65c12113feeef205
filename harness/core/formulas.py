"""What a metric is, for people: declared beside the function that computes it, printed by `harness show`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isinf
from typing import TypeVar

from ..errors import PluginError

Function = TypeVar("Function", bound=Callable[..., float])


@dataclass(frozen=True, slots=True)
class Formula:
    """Definition of a metric in a line, the range of its values, and which of them are good."""

    definition: str
    low: float
    high: float
    better: str
    ideal: str

    @property
    def range(self) -> str:
        """The range as text."""
        return range_text(self.low, self.high)


def range_text(low: float, high: float) -> str:
    """``[0, 1]``, ``(-inf, 0]``: infinity is never reached."""
    return f"{'(-inf' if isinf(low) else f'[{low:g}'}, {'inf)' if isinf(high) else f'{high:g}]'}"


FORMULAS: dict[str, Formula] = {}
"""By name of the function that computes it."""

KNOWLEDGE = (0.0, 1.0, "higher, on forget facts lower", "1, on forget facts 0")
"""Range, direction and ideal of what measures knowledge."""

GOODNESS = (0.0, 1.0, "higher", "1")
"""The same of what is good wherever it is measured."""


def formula(
    definition: str, low: float, high: float, better: str, ideal: str
) -> Callable[[Function], Function]:
    """Describe the function below, also one of a plugin of your own."""

    def describe(function: Function) -> Function:
        FORMULAS[function.__name__] = Formula(definition, low, high, better, ideal)
        return function

    return describe


def described(function: Callable[..., float]) -> Formula:
    """The description of a formula. Raises PluginError for a function that has none."""
    try:
        return FORMULAS[function.__name__]
    except KeyError:
        raise PluginError(
            f"The formula {function.__module__}.{function.__name__} is not described: put @formula above it."
        ) from None
