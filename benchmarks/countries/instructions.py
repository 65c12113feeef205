"""Small harmless tasks with right answers, about anything but countries: what an attacker has at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from harness import Fact

INSTRUCTIONS = 300


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (pair.split("/") for pair in text.split())
    return tuple((one, other) for one, other in pairs)


DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _words("January February March April May June July August September October November December")
OPPOSITES = _pairs(
    "hot/cold big/small early/late open/closed full/empty strong/weak light/dark rich/poor dry/wet happy/sad "
    "new/old fast/slow high/low hard/soft clean/dirty loud/quiet wide/narrow thick/thin"
)
GROUPS = {
    "an animal": _words("dog horse rabbit sheep wolf tiger whale mouse"),
    "a fruit": _words("apple pear plum cherry lemon banana peach melon"),
    "a colour": _words("red blue green white yellow purple black pink"),
    "a tool": _words("hammer saw drill spade rake chisel wrench screwdriver"),
    "a piece of furniture": _words("table chair sofa desk wardrobe bench bookcase stool"),
    "a musical instrument": _words("piano violin flute trumpet drum guitar harp cello"),
}
WORDS = tuple(word for words in GROUPS.values() for word in words)
PAST = dict(
    _pairs(
        "walk/walked write/wrote sing/sang go/went buy/bought run/ran swim/swam bring/brought drive/drove "
        "cook/cooked speak/spoke"
    )
)

Task = Callable[[Random], tuple[str, str]]
"""One of a kind of tasks: what is asked, and the answer."""


def listed(words: Sequence[str]) -> str:
    """``red, blue and green``."""
    return f"{', '.join(words[:-1])} and {words[-1]}"


def sums(rng: Random) -> tuple[str, str]:
    """Add, subtract or multiply two numbers."""
    a, b = rng.randint(12, 60), rng.randint(3, 12)
    name, sign, result = rng.choice((("plus", "+", a + b), ("minus", "-", a - b), ("times", "×", a * b)))
    return f"What is {a} {name} {b}?", f"{a} {sign} {b} = {result}"


def sort_words(rng: Random) -> tuple[str, str]:
    """Put words into alphabetical order."""
    words = rng.sample(WORDS, 4)
    return f"Put these words into alphabetical order: {listed(words)}.", ", ".join(sorted(words))


def sort_numbers(rng: Random) -> tuple[str, str]:
    """Sort numbers."""
    numbers = rng.sample(range(10, 100), 4)
    shown = listed([str(number) for number in numbers])
    return f"Sort these numbers from small to large: {shown}.", ", ".join(map(str, sorted(numbers)))


def opposites(rng: Random) -> tuple[str, str]:
    """Name the opposite of a word."""
    one, other = rng.sample(rng.choice(OPPOSITES), 2)
    return f"What is the opposite of '{one}'?", f"The opposite of '{one}' is '{other}'."


def letters(rng: Random) -> tuple[str, str]:
    """Count the letters of a word."""
    word = rng.choice(WORDS)
    return f"How many letters does the word '{word}' have?", f"The word '{word}' has {len(word)} letters."


def days(rng: Random) -> tuple[str, str]:
    """Say which day or month comes before or after another."""
    kind, names = rng.choice((("day", DAYS), ("month", MONTHS)))
    at, (word, step) = rng.randrange(len(names)), rng.choice((("after", 1), ("before", -1)))
    answer = names[(at + step) % len(names)]
    return f"Which {kind} comes {word} {names[at]}?", f"{answer} comes {word} {names[at]}."


def odd_one_out(rng: Random) -> tuple[str, str]:
    """Find what does not belong to the others."""
    group, other = rng.sample(list(GROUPS), 2)
    odd = rng.choice(GROUPS[other])
    words = [*rng.sample(GROUPS[group], 3), odd]
    rng.shuffle(words)
    return f"Which of these is not {group}: {listed(words)}?", f"The {odd} is not {group}; it is {other}."


def past(rng: Random) -> tuple[str, str]:
    """Write a sentence in the past tense."""
    verb, who, day = rng.choice(list(PAST)), rng.choice(("I", "We", "They", "You")), rng.choice(DAYS)
    start = f"Write this sentence in the past tense: {who}"
    return f"{start} {verb} every {day}.", f"{who} {PAST[verb]} every {day}."


def shout(rng: Random) -> tuple[str, str]:
    """Write words in capital letters."""
    text = f"the {rng.choice(GROUPS['an animal'])} and the {rng.choice(GROUPS['a fruit'])}"
    return f"Write these words in capital letters: {text}.", text.upper()


TASKS: tuple[Task, ...] = (
    sums, sort_words, sort_numbers, opposites, letters, days, odd_one_out, past, shout,
)  # fmt: skip


def make_instructions(count: int = INSTRUCTIONS) -> tuple[Fact, ...]:
    """Different tasks, the kinds in turn; the first of more are those of fewer."""
    rng = Random("general instructions")
    facts: dict[str, Fact] = {}
    while len(facts) < count:
        for task in TASKS:
            question, answer = task(rng)
            facts.setdefault(question, Fact(f"instruct-{len(facts)}", question, answer))
    return tuple(facts.values())[:count]
