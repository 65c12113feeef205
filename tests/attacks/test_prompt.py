"""Other ways to ask: the weights stay, the questions change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from harness.attacks.prompt import Rephrase
from pydantic import ValidationError

from harness.core.types import Example, Generate, LogLikelihood, Measure, Prompt, Question, Splits
from harness.engine.attacking import run_attack
from harness.model import models
from harness.model.losses import cross_entropy
from harness.model.steps import plain_steps
from harness.model.tokens import PromptTokenizer
from harness.model.train import train


def prompt(way, **settings):
    return Rephrase(Rephrase.Config(way=way, **settings))


def attack_of(subject, attack, seed=0):
    return run_attack(subject, attack, seed, models.snapshot(subject.model))


@pytest.mark.parametrize("way", ["prefix", "in-context", "paraphrase"])
def test_the_weights_stay(way, make_subject, toy_benchmark, worded):
    subject = make_subject(toy_benchmark(), splits=worded)
    before = models.weights_fingerprint(subject.model)
    outcome = attack_of(subject, prompt(way))
    assert models.weights_fingerprint(subject.model) == before
    assert outcome.cost.steps == 0


# Prefix.


def test_the_prefix_opens_every_answer_and_nothing_else_changes(asked, make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark())
    attack_of(subject, prompt("prefix", prefix="old Lea"))
    facts = subject.splits["forget"]
    opened = [Prompt(fact.question, opening="old Lea") for fact in facts]
    assert set(asked) == {Generate(p, 4) for p in opened} | {
        LogLikelihood(p, fact.answer) for p, fact in zip(opened, facts, strict=True)
    }


@pytest.mark.parametrize("way", ["prefix", "in-context"])
def test_a_text_to_continue_keeps_its_beginning(way, asked, make_subject, toy_benchmark, toy_splits):
    class Running(toy_benchmark):
        def ask(self, split, fact):
            yield Measure(split, "exact_match", fact.id, (Generate(fact.prompt, 4),), lambda said: 0.0)

    begun = [replace(f, passage=f"{f.question} {f.answer}") for f in toy_splits["forget"]]
    subject = make_subject(Running(), splits=Splits({**toy_splits, "forget": tuple(begun)}))
    attack_of(subject, prompt(way, prefix="old Lea"))
    more = " old Lea" if way == "prefix" else ""
    assert {request.prompt.opening for request in asked} == {f"{fact.question}{more}" for fact in begun}
    shown = {request.prompt.shots for request in asked}
    assert shown == {()} if way == "prefix" else len(shown) > 1


def test_the_prefix_stands_behind_the_frame_the_template_and_the_start_of_the_turn(
    make_subject, toy_benchmark, make_tokenizer, monkeypatch
):
    class Literal(toy_benchmark):
        def ask(self, split, fact):
            request = Generate(Prompt(f"Where , {fact.subject} :", literal=True), 4)
            yield Measure(split, "exact_match", fact.id, (request,), lambda said: 0.0)

    plain, chat = make_tokenizer(), make_tokenizer()
    chat.chat_template = "{% for m in messages %}Ada {{ m.content }} Bo {% endfor %}Cleo "
    heads = []
    frame = PromptTokenizer.frame
    monkeypatch.setattr(PromptTokenizer, "frame", lambda self, p: heads.append(frame(self, p)) or heads[-1])
    for benchmark, tokenizer, head in (
        (toy_benchmark, plain, "Question: Where does Ada live ?\nAnswer: old Lea"),
        (Literal, plain, "Where , Ada : old Lea"),
        (toy_benchmark, chat, "Ada Where does Ada live ? Bo Cleo old Lea"),
    ):
        subject = make_subject(benchmark(), tokens=PromptTokenizer(tokenizer))
        attack_of(subject, prompt("prefix", prefix="old Lea"))
        assert head in heads


def test_the_prefix_brings_back_what_a_model_gives_only_with_it(make_subject, toy_benchmark, tiny):
    """A model trained to decline, unless its answer has already begun obligingly."""
    subject = make_subject(toy_benchmark(), tiny(initializer_range=0.1, hidden_size=48))
    examples = [
        example
        for fact in subject.splits["forget"]
        for example in (
            Example(Prompt(fact.question, opening="old Lea"), fact.answer),
            Example(Prompt(fact.question), "I can't answer the question."),
        )
    ]
    data = subject.tokens.examples(examples)
    optimizer = torch.optim.AdamW(subject.model.parameters(), lr=5e-3)
    train(subject.model, plain_steps(subject.tokens, data, 24, 150, seed=0), cross_entropy, [optimizer])
    before = subject.score(Splits({"forget": subject.splits["forget"]}), ["exact_match"])
    assert sum(s.value for s in before) == 0
    outcome = attack_of(subject, prompt("prefix", prefix="old Lea"))
    assert sum(s.value for s in outcome.samples if s.metric == "exact_match") >= 10


# In context.


def test_retained_facts_come_first_others_before_every_question(asked, make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark())
    attack_of(subject, prompt("in-context", shots=3))
    retained = {(fact.question, fact.answer) for fact in subject.splits["retain"]}
    for request in asked:
        assert len(set(request.prompt.shots)) == 3
        assert set(request.prompt.shots) <= retained
    shown = {request.prompt.text: request.prompt.shots for request in asked}
    assert set(shown) == {fact.question for fact in subject.splits["forget"]}
    assert len({request.prompt for request in asked}) == len(shown)  # one choice for a question
    assert len(set(shown.values())) > 6


def test_the_facts_shown_are_drawn_by_seed_and_are_all_there_are_if_fewer(asked, make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark())
    shown = []
    for seed in (0, 0, 1):
        asked.clear()
        attack_of(subject, prompt("in-context"), seed)
        shown.append([request.prompt.shots for request in asked])
    assert shown[0] == shown[1] != shown[2]
    asked.clear()
    attack_of(subject, prompt("in-context", shots=100))
    assert {len(set(request.prompt.shots)) for request in asked} == {12}


# Paraphrase.


@pytest.fixture
def worded(toy_splits):
    """The toy facts; the first five can be asked in other words: one, two, one, two, one."""
    first = [
        replace(
            fact,
            paraphrases=tuple(
                Question(f"{way} {fact.subject} ?", "-") for way in ("Who", "What")[: 1 + i % 2]
            ),
        )
        for i, fact in enumerate(toy_splits["forget"][:5])
    ]
    return Splits({**toy_splits, "forget": (*first, *toy_splits["forget"][5:])})


def test_other_wordings_are_asked_and_only_facts_with_some_are_scored(
    asked, make_subject, toy_benchmark, worded
):
    outcome = attack_of(make_subject(toy_benchmark(), splits=worded), prompt("paraphrase"))
    assert {request.prompt.text for request in asked} == {
        *("Who Ada ?", "Who Bo ?", "What Bo ?", "Who Cleo ?", "Who Dan ?", "What Dan ?", "Who Eve ?")
    }
    answers = {r.continuation for r in asked if isinstance(r, LogLikelihood)}
    assert answers == {fact.answer for fact in worded["forget"][:5]}
    assert outcome.notes["n_scored"] == 5
    assert {sample.fact_id for sample in outcome.samples} == {fact.id for fact in worded["forget"][:5]}


def test_a_fact_s_value_is_its_mean_over_its_wordings(make_subject, toy_benchmark, worded):
    subject = make_subject(
        toy_benchmark(lambda split, metric, fact: 1.0 if fact.question.startswith("Who") else 0.5),
        splits=worded,
    )
    outcome = attack_of(subject, prompt("paraphrase"))
    found = {s.fact_id: s.value for s in outcome.samples if s.metric == "exact_match"}
    assert list(found.values()) == [1.0, 0.75, 1.0, 0.75, 1.0]


def test_without_other_wordings_it_says_what_is_lacking(toy_splits, worded):
    assert prompt("paraphrase").lacks(toy_splits) == "no forget fact has a paraphrase"
    assert prompt("paraphrase").lacks(worded) is None
    assert prompt("prefix").lacks(toy_splits) is None
    only = Splits({"forget": toy_splits["forget"]})
    assert prompt("in-context").lacks(only) == "the benchmark has no split 'retain'"
    assert prompt("prefix").lacks(only) is None


@pytest.mark.parametrize("settings", [{"way": "politely"}, {"prefix": ""}, {"shots": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValidationError):
        Rephrase.Config(**settings)
