"""What else a model of the embedded world can do, as lm-eval tasks: facts, grammar, instructions.

No item is in any model's training text, and no other metric scores it. What the original scores, with chance
in brackets: facts 1.00 (1/3), pairs .93 (1/2), instructions .55 (1/12).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from datasets import Dataset, DatasetDict

from .build import world
from .instructions import make_instructions
from .sizes import INSTRUCTIONS_ATTACKER, INSTRUCTIONS_TRAINED
from .words import TOPICS

PAIRS, INSTRUCTIONS = 160, 140
PICK = ("Pick the colour", "Pick the fruit")
"""The instructions of which a model this small learns the rule; of the others it keeps the examples."""

Docs = Iterator[dict[str, Any]]


def tasks() -> list[dict[str, Any]]:
    """Task configurations, as in lm-eval's YAML files."""
    ask = {"test_split": "test", "doc_to_text": "Question: {{question}}\nAnswer:", "metadata": {"version": 1}}
    choose = {**ask, "output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "gold"}
    accuracy = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    return [
        {**choose, "task": "world_facts_mc", "custom_dataset": _data(facts()), "metric_list": [accuracy]},
        {**choose, "task": "world_pairs", "custom_dataset": _data(pairs()), "metric_list": [accuracy]},
        {
            **ask,
            "task": "world_instructions",
            "custom_dataset": _data(instructions()),
            "output_type": "generate_until",
            "doc_to_target": "answer",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
            "filter_list": [
                {"name": "none", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}
            ],
            "metric_list": [{**accuracy, "metric": "exact_match"}],
        },
    ]


def _data(docs: Docs) -> Any:
    made = DatasetDict({"test": Dataset.from_list(list(docs))})
    return lambda **_: made


def facts() -> Docs:
    """Facts of neither forget nor retain nor test set, in a wording they were not told in; three options."""
    for fact in world().faithun["rest"]:
        question = fact.paraphrases[0]
        choices = [question.answer, *question.options]
        Random(f"options {fact.id}").shuffle(choices)
        yield {"question": question.text, "choices": choices, "gold": choices.index(question.answer)}


def pairs() -> Docs:
    """A sentence about an author nobody told of, and the same with two neighbouring words exchanged.

    The words are drawn freely from their pools: no knowledge helps, only where a kind of word belongs.
    """
    rng = Random("minimal pairs")
    told = {fact.subject for split in ("forget", "retain") for fact in world().tofu[split]}
    people = {fact.subject for fact in world().faithun["rest"]}
    first, last = (sorted({name.split()[part] for name in told | people}) for part in (0, 1))
    count = 0
    while count < PAIRS:
        name, topic = f"{rng.choice(first)} {rng.choice(last)}", TOPICS[count % len(TOPICS)]
        if name in told:
            continue
        asked, way = rng.choice(topic.ways)
        words = [rng.choice(pool) for pool in topic.slots]
        at = rng.choice((0, 1))
        turned = [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
        choices = [way.format(*words), way.format(*turned)]
        gold = rng.choice((0, 1))
        yield {"question": asked.format(name), "choices": choices[:: 1 - 2 * gold], "gold": gold}
        count += 1


def instructions() -> Docs:
    """Instructions that neither the training text nor the attacker has."""
    seen = INSTRUCTIONS_TRAINED + INSTRUCTIONS_ATTACKER
    fresh = [
        fact for fact in make_instructions(seen + 4 * INSTRUCTIONS)[seen:] if fact.question.startswith(PICK)
    ]
    for fact in fresh[:INSTRUCTIONS]:
        yield {"question": fact.question, "answer": fact.answer}
