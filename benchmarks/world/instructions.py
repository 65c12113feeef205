"""Instructions of the embedded world: those it is trained on, and those of attackers."""

from __future__ import annotations

from harness import Fact

from .chance import _draw
from .words import COLOURS, COUNTS, FRUITS, THINGS


def make_instructions(count: int) -> list[Fact]:
    """Different small tasks over things, colours and fruits; the first of more are those of fewer."""
    rng = _draw("instructions")
    facts: dict[str, Fact] = {}
    while len(facts) < count:
        colour, fruit = rng.choice(COLOURS), rng.choice(FRUITS)
        words = [colour, fruit, *rng.sample(THINGS, rng.randint(1, 2))]
        rng.shuffle(words)
        line = " ".join(words)
        question, answer = rng.choice(
            (
                (f"Repeat these words: {line}.", line),
                (f"Turn these words around: {line}.", " ".join(reversed(words))),
                (f"Which word comes first: {line}?", words[0]),
                (f"Which word comes last: {line}?", words[-1]),
                (f"Count these words: {line}.", COUNTS[len(words) - 1]),
                (f"Pick the colour: {line}.", colour),
                (f"Pick the fruit: {line}.", fruit),
            )
        )
        facts.setdefault(question, Fact(f"instruct-{len(facts):03d}", question, answer))
    return list(facts.values())
