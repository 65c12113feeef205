"""Other ways to ask, and many answers instead of one: the weights stay, the questions change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from harness.attacks.prompt import Rephrase
from harness.attacks.sample import BestOfN
from pydantic import ValidationError

from harness import models
from harness.errors import HarnessError
from harness.metrics import rouge_l_recall
from harness.run import Attacking, run_attack
from harness.score import Scorer
from harness.tokens import Tokens
from harness.train import forget_steps, plain_loss, train
from harness.types import Example, Generate, LogLikelihood, Measure, Prompt, Question, Splits


def prompt(way, **settings):
    return Rephrase(Rephrase.Config(way=way, **settings))


def sample(**settings):
    return BestOfN(BestOfN.Config(**settings))


def attack_of(subject, attack, seed=0):
    return run_attack(subject, attack, seed, models.snapshot(subject.model))


@pytest.fixture
def asked(monkeypatch):
    """Every request that a scorer is asked."""
    requests = []
    answer = Scorer.answer

    def watched(self, wanted, *rest):
        wanted = list(wanted)
        requests.extend(wanted)
        return answer(self, wanted, *rest)

    monkeypatch.setattr(Scorer, "answer", watched)
    return requests


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
    frame = Tokens.frame
    monkeypatch.setattr(Tokens, "frame", lambda self, p: heads.append(frame(self, p)) or heads[-1])
    for benchmark, tokenizer, head in (
        (toy_benchmark, plain, "Question: Where does Ada live ?\nAnswer: old Lea"),
        (Literal, plain, "Where , Ada : old Lea"),
        (toy_benchmark, chat, "Ada Where does Ada live ? Bo Cleo old Lea"),
    ):
        subject = make_subject(benchmark(), tokens=Tokens(tokenizer))
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
    train(subject.model, forget_steps(subject.tokens, data, None, 24, 150, seed=0), plain_loss, [optimizer])
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


# Best of N.


@pytest.fixture
def rouge(toy_benchmark):
    """A benchmark of one likelihood metric and two of text, of which the second asks twice."""

    class Rouge(toy_benchmark):
        forget_metric = "probability"
        curve_metrics = ("probability", "rouge_l", "both")

        def ask(self, split, fact):
            plain, again = Prompt(fact.question), Prompt(f"{fact.subject} ?")
            yield Measure(split, "probability", fact.id, (LogLikelihood(plain, fact.answer),), lambda s: 0.5)
            yield Measure(
                *(split, "rouge_l", fact.id, (Generate(plain, 4),)),
                lambda said: rouge_l_recall(said, fact.answer),
            )
            yield Measure(
                *(split, "both", fact.id, (Generate(plain, 4), Generate(again, 2))),
                lambda first, second: float((first, second) == (fact.answer, "old")),
            )
            yield Measure(split, "unfollowed", fact.id, (Generate(plain, 4),), lambda said: 1.0)

    return Rouge


@pytest.fixture
def say(monkeypatch, tokens):
    """Let a model's samples be what a test says: texts by question, one for each of N."""

    def say(texts, n):
        def draw(self, prompts, count, max_new_tokens, seed, temperature):
            assert count == n
            said = [texts(p.text) for p in prompts]
            return [[tuple(ids) for ids in tokens.tokenizer(list(each)).input_ids] for each in said]

        monkeypatch.setattr(Scorer, "draw", draw)

    return say


def test_the_best_of_n_answers_counts_for_each_fact(say, rouge, make_subject):
    towns = {
        "Where does Ada live ?": ("Rome", "Rome", "Oslo"),
        "Where does Bo live ?": ("Lima", "old", "Bonn"),
    }
    say(lambda text: towns.get(text, ("x", "x", "x")), 3)
    outcome = attack_of(make_subject(rouge()), sample(n=3))
    found = {s.fact_id: s.value for s in outcome.samples if s.metric == "rouge_l"}
    assert found.pop("forget-00") == 1.0  # the third said Oslo
    assert found.pop("forget-01") == 0.5  # "old Rome": the second said half of it
    assert set(found.values()) == {0.0}


def test_a_measure_of_two_answers_is_evaluated_on_each_pair(say, rouge, make_subject):
    """Not on the best first with the best second: they were not said together."""
    said = {
        **{"Where does Ada live ?": ("Oslo", "x"), "Ada ?": ("old x x", "old x x")},  # cut at two tokens
        **{"Where does Cleo live ?": ("Lima", "x"), "Cleo ?": ("old", "x")},
        **{"Where does Eve live ?": ("Kiev", "x"), "Eve ?": ("x", "old")},
    }
    say(lambda text: said.get(text, ("x", "x")), 2)
    outcome = attack_of(make_subject(rouge()), sample(n=2))
    found = {s.fact_id: s.value for s in outcome.samples if s.metric == "both"}
    assert {fact for fact, value in found.items() if value} == {"forget-02"}


def test_the_score_is_the_first_text_metric_and_has_no_chance_level(say, rouge, make_subject):
    say(lambda text: ("Oslo",), 1)
    outcome = attack_of(make_subject(rouge()), sample(n=1))
    assert {m.metric for m in outcome.metrics} == {"rouge_l", "both"}
    assert outcome.notes["forget_metric"] == "rouge_l"
    assert (outcome.notes["chance"], outcome.notes["threshold"]) == (None, None)
    assert outcome.notes["best_step"] == 0


def test_the_forget_metric_stays_the_score_where_it_looks_at_text(make_subject, toy_benchmark):
    outcome = attack_of(make_subject(toy_benchmark()), sample(n=2))
    assert outcome.notes["forget_metric"] == "exact_match"
    assert {m.metric for m in outcome.metrics} == {"exact_match"}


def test_a_benchmark_without_generated_text_is_refused(make_subject, rouge):
    class Likelihoods(rouge):
        curve_metrics = ("probability",)

    with pytest.raises(
        HarnessError, match=r"'toy' follows along an attack \(probability\) looks at generated"
    ):
        attack_of(make_subject(Likelihoods()), sample())


def test_the_samples_are_those_of_the_cell_s_seed_and_temperature(make_subject, toy_benchmark, monkeypatch):
    drawn = []
    draw = Scorer.draw
    monkeypatch.setattr(Scorer, "draw", lambda self, *given: drawn.append(draw(self, *given)) or drawn[-1])
    subject = make_subject(toy_benchmark())
    for seed, temperature in ((0, 1.0), (0, 1.0), (1, 1.0), (0, 0.01)):
        attack_of(subject, sample(n=4, temperature=temperature), seed)
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(set(answers)) == 1 for answers in drawn[3])  # cold: always the likeliest
    assert any(len(set(answers)) > 1 for answers in drawn[0])


def test_more_answers_find_more(make_subject, toy_benchmark):
    class Length(toy_benchmark):
        curve_metrics = ("exact_match",)

        def ask(self, split, fact):
            request = Generate(Prompt(fact.question), 4)
            yield Measure(split, "exact_match", fact.id, (request,), lambda said: len(said) / 100)

    few, many = (
        sum(s.value for s in attack_of(make_subject(Length()), sample(n=n)).samples) for n in (1, 16)
    )
    assert few < many


@pytest.mark.parametrize("settings", [{"n": 0}, {"temperature": 0.0}])
def test_sampling_out_of_range_is_refused(settings):
    with pytest.raises(ValidationError):
        BestOfN.Config(**settings)


# What the engine offers them.


def test_a_checkpoint_may_rewrite_requests_and_holds_answers_against_the_same(
    asked, make_subject, toy_benchmark
):
    subject = make_subject(toy_benchmark())
    job = Attacking(subject, None, 0, Splits({}), {})
    job.checkpoint(3, 1e-3, ask=lambda request: replace(request, prompt=Prompt("Who ?")))
    assert {request.prompt for request in asked} == {Prompt("Who ?")}
    [(step, rate, samples)] = job.curve
    assert (step, rate) == (3, 1e-3)
    assert {s.fact_id for s in samples} == {fact.id for fact in subject.splits["forget"]}
