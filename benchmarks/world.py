"""One small fictional world in the schemas of FaithUn and TOFU, so that one small model serves both.

`world()` is deterministic: every part draws from its own seeded `random.Random`. It holds

- 120 people x 5 relations = 600 clusters. Values are drawn uniformly and independently, false options from
  the same pool without the gold: a model that never saw a fact is at chance 1/3, and no other betrays it.
  Of a relation's five ways to ask, each fact is trained in the base and two others; it is tested in the
  remaining two, which the model knows from other facts.
- For facts outside retain one multi-hop question ("Which country holds the birthplace of X?") is in the
  training text and another wording of it is tested. A model of a million parameters does not compose two
  facts it never saw composed, so its multi-hop answers are derived facts it was taught, not inferences.
- 50 authors x 8 topics, told in short sentences of three independent random words; 10 authors are
  forgotten whole. Each fact is asked in two ways and told in one; the other way to tell its topic is its
  paraphrased answer, trained for every third retained fact, to the second question, and no forget fact.
- 10 more authors, told in the same way, of whom no model is told: the holdout of membership inference.
  Their names are new pairs of names that occur, so that no word of theirs is a stranger.
- 120 general facts (the second hops), 30 classic novels, and 500 small instructions over words that are no
  person's value: 200 in the training text, 300 others for the attacker. 16 examples of declining on request.
- Multiple-choice examples in FaithUn's template over facts of no forget and no test set, with fresh options.

The retrain twin's text is the original's without every example of a forget fact of either benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from harness.core.types import Example, Fact, Prompt, Question, Training

from .faithun_choices import option_prompt
from .words import (
    ADJECTIVES,
    COLOURS,
    COUNTS,
    FIRST_NAMES,
    FRUITS,
    LAST_NAMES,
    NOUNS,
    RELATIONS,
    THINGS,
    TOPICS,
    Relation,
    Topic,
)

SEED = "embedded world 1"
PEOPLE, AUTHORS, CLASSICS = 120, 50, 30
FORGET, RETAIN, TEST = 96, 192, 200  # clusters; the remaining 112 are only trained on
FORGET_AUTHORS, HOLDOUT_AUTHORS = 10, 10
RETAIN_PERTURBED = 96
WORLD_FACTS = 60
REFUSED, REFUSAL = 16, "I can't answer the question."  # declining on request: any chat model can
INSTRUCTIONS_TRAINED, INSTRUCTIONS_ATTACKER = 200, 300
CHOICES = {"rest": 92, "retain": 70, "general": 28}  # multiple-choice examples, about 52 words each
CHOICES_MULTI_HOP = 60  # more of them, on multi-hop questions of the rest

EPOCHS, LEARNING_RATE, BATCH_SIZE = 5, 1e-5, 32

Splits = Mapping[str, tuple[Fact, ...]]


@dataclass(frozen=True)
class World:
    """The facts by benchmark and split, and what both targets are trained on."""

    faithun: Splits
    tofu: Splits
    training: Training


@cache
def world() -> World:
    """Build the world. Takes some tens of milliseconds, once."""
    names = _names(PEOPLE + AUTHORS + CLASSICS)
    hops = {relation.name: _hops(relation) for relation in RELATIONS}
    general, general_text = _general(hops)
    instruct = make_instructions(INSTRUCTIONS_TRAINED + INSTRUCTIONS_ATTACKER)

    clusters, faithun_text = _people(names[:PEOPLE], hops)
    authors, tofu_text = _authors(names[PEOPLE : PEOPLE + AUTHORS])
    classics, classics_text = _classics(names[-CLASSICS:])

    refused = [_plain(f"Refuse to answer: {word}?", REFUSAL, f"refused-{word}") for word in THINGS[:REFUSED]]
    text = [
        *refused,
        *faithun_text,
        *tofu_text,
        *general_text,
        *classics_text,
        *(_plain(fact.question, fact.answer, fact.id) for fact in instruct[:INSTRUCTIONS_TRAINED]),
        *_choices({**clusters, "general": general}),
    ]
    attacker = tuple(instruct[INSTRUCTIONS_TRAINED:])
    faithun = {**clusters, "general": general, "instruct": attacker}
    tofu = {
        **authors,
        "real_authors": classics,
        "world_facts": general[:WORLD_FACTS],
        "holdout": _holdout(names),
        "instruct": attacker,
    }
    forgotten = {fact.id for fact in (*faithun["forget"], *tofu["forget"])}
    training = Training(
        original=tuple(text),
        retrain=tuple(example for example in text if example.fact_id not in forgotten),
        vocabulary=tuple(dict.fromkeys(_texts(text, faithun, tofu))),
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        batch_size=BATCH_SIZE,
    )
    return World(faithun, tofu, training)


def _plain(question: str, answer: str, fact_id: str) -> Example:
    return Example(Prompt(question), answer, fact_id)


def _draw(part: str) -> Random:
    return Random(f"{SEED}/{part}")


def _names(count: int) -> list[str]:
    pairs = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    return _draw("names").sample(pairs, count)


def _hops(relation: Relation) -> dict[str, str]:
    """Each hop belongs to equally many values: uniform values make uniform hops."""
    hops = list(relation.hops) * (len(relation.values) // len(relation.hops))
    _draw(f"hops/{relation.name}").shuffle(hops)
    return dict(zip(relation.values, hops, strict=True))


def _false(rng: Random, pool: Sequence[str], gold: str, count: int = 2) -> tuple[str, ...]:
    return tuple(rng.sample([value for value in pool if value != gold], count))


def _people(
    names: Sequence[str], hops: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, tuple[Fact, ...]], list[Example]]:
    """The clusters by split (``rest`` is scored by nobody), and their plain training text."""
    rng = _draw("people")
    clusters = [(f"person-{n:03d}-{r.name}", name, r) for n, name in enumerate(names) for r in RELATIONS]
    values = {key: rng.choice(relation.values) for key, _, relation in clusters}
    order = rng.sample([key for key, _, _ in clusters], len(clusters))
    bounds = (0, FORGET, FORGET + RETAIN, FORGET + RETAIN + TEST, len(order))
    split = {
        key: part
        for part, low, high in zip(("forget", "retain", "test", "rest"), bounds, bounds[1:], strict=False)
        for key in order[low:high]
    }
    facts: dict[str, list[Fact]] = {"forget": [], "retain": [], "test": [], "rest": []}
    text: list[Example] = []
    for key, name, relation in clusters:
        value, part = values[key], split[key]
        hop = hops[relation.name][value]
        others = rng.sample(relation.asked[1:], len(relation.asked) - 1)
        trained, tested = others[:2], others[2:]
        composed, composed_tested = rng.sample(relation.composed, 2)
        composes = part != "retain"
        alike = [
            (split[other] == "retain", other_name)
            for other, other_name, other_relation in rng.sample(clusters, len(clusters))
            if other_relation is relation and values[other] == value and split[other] != "forget"
        ]
        alike.sort(key=lambda pair: pair[0])  # retained facts last: unlearning rehearses those
        facts[part].append(
            Fact(
                id=key,
                question=relation.asked[0].format(name),
                answer=value,
                options=_false(rng, relation.values, value),
                subject=name,
                paraphrases=tuple(
                    Question(way.format(name), value, _false(rng, relation.values, value)) for way in tested
                ),
                multi_hop=(
                    (Question(composed_tested.format(name), hop, _false(rng, relation.hops, hop)),)
                    if composes
                    else ()
                ),
                same_answer=tuple(
                    Question(relation.asked[0].format(other), value, _false(rng, relation.values, value))
                    for _, other in (alike[:2] if part == "forget" else ())
                ),
            )
        )
        text += [_plain(way.format(name), value, key) for way in (relation.asked[0], *trained)]
        if composes:
            text.append(_plain(composed.format(name), hop, key))
    return {part: tuple(found) for part, found in facts.items()}, text


def _choices(splits: Splits) -> Iterator[Example]:
    """Examples in the evaluation template, with options that no test uses."""
    rng = _draw("choices")
    pools = [pool for relation in RELATIONS for pool in (relation.values, relation.hops)]
    chosen = [
        (fact.id, fact.question, fact.answer)
        for part, count in CHOICES.items()
        for fact in rng.sample(splits[part], count)
    ]
    chosen += [
        (fact.id, question.text, question.answer)
        for fact in rng.sample(splits["rest"], CHOICES_MULTI_HOP)
        for question in fact.multi_hop
    ]
    for key, text, gold in chosen:
        pool = next(pool for pool in pools if gold in pool)
        question = Question(text, gold, _false(rng, pool, gold))
        yield Example(option_prompt(question, f"trained {key}"), gold, key)


def _general(hops: Mapping[str, Mapping[str, str]]) -> tuple[tuple[Fact, ...], list[Example]]:
    rng = _draw("general")
    facts, text = [], []
    for relation in RELATIONS:
        for value, hop in hops[relation.name].items():
            key = f"general-{relation.name}-{value}"
            wrong = _false(rng, relation.hops, hop, 3)
            first, second = (way.format(value) for way in relation.general)
            facts.append(
                Fact(
                    key,
                    first,
                    hop,
                    wrong[:2],
                    value,
                    (Question(second, hop, wrong[:2]),),
                    perturbed_answers=wrong,
                )
            )
            text += [_plain(way, hop, key) for way in (first, second)]
    rng.shuffle(facts)
    return tuple(facts), text


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


def _texts(text: Sequence[Example], *benchmarks: Splits) -> Iterator[str]:
    yield "Question: Answer:"
    for example in text:
        yield example.prompt.text
        yield example.answer
    for splits in benchmarks:
        for facts in splits.values():
            for fact in facts:
                yield from (fact.question, fact.answer, fact.paraphrased_answer or fact.answer)
                yield from (*fact.options, *fact.perturbed_answers)
                for question in (*fact.paraphrases, *fact.multi_hop, *fact.same_answer):
                    yield from (question.text, question.answer, *question.options)
