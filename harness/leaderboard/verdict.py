"""What a method did to the knowledge, in a word."""

from __future__ import annotations

ERASED, PARTLY_HIDDEN, HIDDEN, NOT_FORGOTTEN, DAMAGED, BELOW_TWIN, UNDECIDED = VERDICTS = (
    *("erased", "partly hidden", "hidden", "not forgotten", "damaged", "below the twin", "undecided"),
)
"""All that a method may be said to have done."""
