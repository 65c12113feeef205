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
- 120 general facts (the second hops), 30 classic novels, and 800 small instructions over words that are no
  person's value: 500 in the training text, 300 others for the attacker. 16 examples of declining on request.
- Multiple-choice examples in FaithUn's template over facts of no forget and no test set, with fresh options.

The retrain twin's text is the original's without every example of a forget fact of either benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness import Example, Training

from .authors import _authors, _classics, _holdout
from .chance import _names, _plain
from .instructions import make_instructions
from .people import _choices, _general, _hops, _people
from .sizes import (
    AUTHORS,
    BATCH_SIZE,
    CLASSICS,
    EPOCHS,
    INSTRUCTIONS_ATTACKER,
    INSTRUCTIONS_TRAINED,
    LEARNING_RATE,
    PEOPLE,
    REFUSAL,
    REFUSED,
    WORLD_FACTS,
    Splits,
)
from .words import RELATIONS, THINGS


@dataclass(frozen=True)
class World:
    """The facts by benchmark and split, and what both targets are trained on."""

    faithun: Splits
    tofu: Splits
    training: Training


def world() -> World:
    """The world, built once. A process that has loaded ``made`` has it for all that it forks."""
    from .made import WORLD

    return WORLD


def build() -> World:
    """Build the world anew. Takes half a second."""
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
