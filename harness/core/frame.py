"""How a model is asked: what stands around a question, and the day that a chat template may write there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

FrameName = Literal["auto", "chat", "plain", "openunlearning"]
FRAMES = get_args(FrameName)
PUBLISHED_DATE = date(2025, 4, 10)
"""The day that published runs write into prompts (OpenUnlearning's configurations: 10 Apr 2025)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame by name, and the day for chat templates that ask for today's.

    ``auto`` is ``chat`` where the tokenizer has a chat template and ``plain`` where it has none.
    """

    name: FrameName = "auto"
    date: date = PUBLISHED_DATE

    def identity(self) -> list[str]:
        """What of it goes into a key."""
        return [self.name, self.date.isoformat()]


DEFAULT = Frame()
