"""What counts as forgotten, as a setting of the built-in benchmarks."""

from __future__ import annotations

from typing import Annotated, Literal

from harness import Field

Threshold = Literal["twin", "published"] | Annotated[float, Field(ge=0, le=1)]

THRESHOLD = (
    "what counts as forgotten: 'twin', the score of the retrain twin (chance without one); 'published', "
    "the rule of the Ssiuu paper; or a value of the forget metric"
)


def stated(threshold: str | float, published: float) -> float | None:
    """The value of the forget metric that a setting states; None leaves it to the twin."""
    if threshold == "twin":
        return None
    return published if threshold == "published" else float(threshold)
