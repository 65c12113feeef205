"""Read WMDP's questions and a user's corpora as facts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from harness import DataError, Fact

from ..passages import passages
from ..records import Record
from ..tables import TEXT

HUB_ID = "cais/wmdp"
LETTERS = "ABCD"


def questions(records: Sequence[Record], topic: str) -> tuple[Fact, ...]:
    """Questions with the right one of four choices as answer.

    All four choices stand in ``options``, in the file's order, and the letter of the right one ends the id.
    Raises DataError for the first record that has not four choices and the place of the right one in
    ``answer``.
    """
    facts = []
    for number, record in enumerate(records, 1):
        question, choices = record.text("question"), record.texts("choices", len(LETTERS))
        place = _place(record, record.fields.get("answer"))
        facts.append(Fact(f"{topic} {number}{LETTERS[place]}", question, choices[place], options=choices))
    return tuple(facts)


def _place(record: Record, answer: Any) -> int:
    """Where the right choice stands, from 0; said as a number, as its figure or as its letter."""
    said = str(answer).strip()
    if not isinstance(answer, bool):
        if said in ("0", "1", "2", "3"):
            return int(said)
        if len(said) == 1 and said in LETTERS:
            return LETTERS.index(said)
    raise record.error(f"expected 0 to 3 or A to D in 'answer', found {answer!r}")


def held_out(fact: Fact, share: float) -> bool:
    """Whether nothing is ever trained on this question. The same question is always on the same side."""
    digest = hashlib.sha256(fact.question.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def corpus(
    records: Sequence[Record], key: str, longest: int, begin: int, follow: int, most: int | None = None
) -> tuple[Fact, ...]:
    """A user's corpus in passages, all or ``most`` of them, evenly spread."""
    facts = passages(records, key, longest, begin, follow, TEXT)
    if len(facts) < 2:
        raise DataError(records[0].table, "expected at least two passages in a corpus")
    step = max(1, len(facts) // most) if most else 1
    return facts[::step][:most]
