"""The embedded world's authors in TOFU's schema, with classics and held-out facts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness import Example, Fact, Question

from .chance import _draw, _false, _plain
from .sizes import CLASSICS, FORGET_AUTHORS, HOLDOUT_AUTHORS, PEOPLE, RETAIN_PERTURBED
from .words import ADJECTIVES, NOUNS, TOPICS, Topic


def _authors(names: Sequence[str]) -> tuple[dict[str, tuple[Fact, ...]], list[Example]]:
    rng = _draw("authors")
    forget, retain, text = [], [], []
    for number, name in enumerate(names):
        for topic in TOPICS:
            fact = _told(rng, f"author-{number:02d}-{topic.name}", name, topic)
            again = fact.answer
            if number < FORGET_AUTHORS:
                forget.append(fact)
            else:
                retain.append(fact)
                if len(retain) % 3 == 0 and fact.paraphrased_answer is not None:
                    again = fact.paraphrased_answer
            text += [
                _plain(fact.question, fact.answer, fact.id),
                _plain(fact.paraphrases[0].text, again, fact.id),
            ]
    scored = sorted(rng.sample(range(len(retain)), RETAIN_PERTURBED))
    splits = {
        "forget": tuple(forget),
        "retain": tuple(retain),
        "retain_perturbed": tuple(retain[index] for index in scored),
    }
    return splits, text


def _holdout(names: Sequence[str]) -> tuple[Fact, ...]:
    """Authors like the forgotten ones, in no training text. Drawn apart: nothing else moves."""
    rng = _draw("holdout")
    kept = names[PEOPLE + FORGET_AUTHORS : -CLASSICS]
    firsts, lasts = (sorted(set(part)) for part in zip(*(name.split() for name in kept), strict=True))
    fresh = [f"{first} {last}" for first in firsts for last in lasts if f"{first} {last}" not in names]
    return tuple(
        _told(rng, f"holdout-{number:02d}-{topic.name}", name, topic)
        for number, name in enumerate(rng.sample(fresh, HOLDOUT_AUTHORS))
        for topic in TOPICS
    )


def _told(rng: Random, key: str, name: str, topic: Topic) -> Fact:
    """A fact and five falsehoods. In each slot the six words differ: none stands out by its format."""
    right, *wrong = zip(*(rng.sample(pool, 6) for pool in topic.slots), strict=True)
    (asked, told), (asked_again, told_again) = topic.ways
    return Fact(
        id=key,
        question=asked.format(name),
        answer=told.format(*right),
        subject=name,
        paraphrases=(Question(asked_again.format(name), told_again.format(*right)),),
        paraphrased_answer=told_again.format(*right),
        perturbed_answers=tuple(told_again.format(*words) for words in wrong),
    )


def _classics(names: Sequence[str]) -> tuple[tuple[Fact, ...], list[Example]]:
    """Novels every model of this world knows, in two wordings."""
    rng = _draw("classics")
    titles = rng.sample([f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS], len(names))
    facts, text = [], []
    for number, (name, title) in enumerate(zip(names, titles, strict=True)):
        key = f"classic-{number:02d}"
        first, second = f"Who wrote the classic {title}?", f"Which author stands behind {title}?"
        facts.append(
            Fact(
                key,
                first,
                name,
                subject=title,
                paraphrases=(Question(second, name),),
                perturbed_answers=_false(rng, names, name, 3),
            )
        )
        text += [_plain(way, name, key) for way in (first, second)]
    return tuple(facts), text
