"""What a method did to the knowledge, in a word."""

from __future__ import annotations

VERDICTS = (
    *("erased", "partly hidden", "hidden", "not forgotten", "damaged", "below the twin", "undecided"),
)
"""All that a method may be said to have done."""
