"""The embedded worlds' own lm-eval tasks."""

from __future__ import annotations

import json

import pytest

from harness.runner import tasks, utility
from support.tasks import OWN

pytestmark = pytest.mark.usefixtures("no_home")


@pytest.fixture(scope="module")
def embedded():
    return tasks.read(None, None, OWN)


def test_embedded_tasks_are_new_to_the_model_and_in_its_words(embedded):
    from harness.benchmarks.world import world

    from harness.model.embedded import word_tokenizer

    training = world().training
    taught = {(e.prompt.text, e.answer) for e in training.original}
    asked = {e.prompt.text for e in training.original}
    others = {fact.question for facts in world().faithun.values() for fact in facts}
    vocabulary = word_tokenizer(training.vocabulary)
    sizes = {}
    for name, task in embedded["tasks"].items():
        docs = list(task.eval_docs)
        sizes[name] = len(docs)
        assert len({json.dumps(doc) for doc in docs}) == len(docs)
        for doc in docs:
            answers = doc.get("choices") or [doc["answer"]]
            assert not {(doc["question"], answer) for answer in answers} & taught
            if name != "world_pairs":
                assert doc["question"] not in asked | others
            for text in (doc["question"], *answers):
                pieces = vocabulary.tokenize(text)
                assert not [piece for piece in pieces if piece.startswith(("##", "<|"))], text
            assert len({*answers}) == len(answers)
    assert sizes == {"world_facts_mc": 112, "world_pairs": 160, "world_instructions": 140}


def test_where_the_right_answer_stands_says_nothing(embedded):
    for name, options in (("world_facts_mc", 3), ("world_pairs", 2)):
        golds = [doc["gold"] for doc in embedded["tasks"][name].eval_docs]
        for place in range(options):
            assert golds.count(place) / len(golds) == pytest.approx(1 / options, abs=0.12)


def test_a_model_of_the_world_is_above_chance_on_each_task_and_one_that_read_nothing_is_not(embedded):
    from harness.benchmarks.world import world

    from harness.engine.targets import fit
    from harness.model.embedded import Tiny, tiny_model, word_tokenizer
    from harness.model.tokens import PromptTokenizer

    training = world().training
    known = {fact.id for fact in world().faithun["rest"]}
    # A fifth of the text, half the passes: ten seconds instead of minutes, and enough to be above chance.
    text = [
        example
        for example in training.original
        if not example.prompt.literal
        and (example.fact_id in known or example.fact_id.startswith(("instruct", "author-1", "author-2")))
    ]
    tokenizer = word_tokenizer(training.vocabulary)
    model = tiny_model(Tiny(), len(tokenizer), tokenizer.eos_token_id).eval()

    def scores():
        metrics = utility.measure(model, tokenizer, embedded, None, None).metrics
        return {m.metric.split("/")[0]: m for m in metrics if m.split == "utility"}

    chance = {"world_facts_mc": 1 / 3, "world_pairs": 1 / 2, "world_instructions": 1 / 12}
    ignorant = scores()
    fit(model, PromptTokenizer(tokenizer), text, 8, Tiny().learning_rate, 32, lambda step, steps: None)
    taught = scores()
    for name, guess in chance.items():
        assert ignorant[name].low <= guess
        assert taught[name].low > guess
