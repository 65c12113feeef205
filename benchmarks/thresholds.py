"""What counts as forgotten, as a setting of the built-in benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from harness import Field

Threshold = Literal["twin", "published"] | Annotated[float, Field(ge=0, le=1)]

THRESHOLD = (
    "what counts as forgotten: 'twin', the score of the retrain twin (chance without one); 'published', "
    "the rule of the Ssiuu paper; or a value of the forget metric"
)


Unpublished = Literal["twin"] | Annotated[float, Field(ge=0, le=1)]

UNPUBLISHED = (
    "what counts as forgotten: 'twin', the score of the retrain twin (chance without one), or a value of "
    "the forget metric"
)
"""Of benchmarks for which no rule was published."""


def stated(threshold: str | float, published: Callable[[], float] | None = None) -> float | None:
    """The value of the forget metric that a setting states; None leaves it to the twin.

    ``published`` is called only where it is asked for: it may have to be computed.
    """
    if threshold == "twin":
        return None
    return published() if published and threshold == "published" else float(threshold)
