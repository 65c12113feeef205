"""Best of N: many answers instead of one."""

from __future__ import annotations

import pytest
from harness.attacks.sample import BestOfN
from pydantic import ValidationError

from harness.core.types import Generate, LogLikelihood, Measure, Prompt
from harness.engine.attacking import run_attack
from harness.errors import HarnessError
from harness.model import models
from harness.scoring import sampling
from harness.scoring.metrics import rouge_l_recall


def sample(**settings):
    return BestOfN(BestOfN.Config(**settings))


def attack_of(subject, attack, seed=0):
    return run_attack(subject, attack, seed, models.snapshot(subject.model))


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
        def sampled(model, tokens, prompts, count, *others):
            assert count == n
            said = [texts(p.text) for p in prompts]
            return [[tuple(ids) for ids in tokens.tokenizer(list(each)).input_ids] for each in said]

        monkeypatch.setattr(sampling, "sample", sampled)

    return say


def test_the_best_of_n_answers_counts_for_each_fact(say, rouge, make_subject):
    towns = {
        "Where does Ada live ?": ("Rome", "Rome", "Oslo"),
        "Where does Bo live ?": ("Lima", "old", "Bonn"),
    }
    say(lambda text: towns.get(text, ("x", "x", "x")), 3)
    outcome = attack_of(make_subject(rouge()), sample(n=3))
    found = {s.fact_id: s.value for s in outcome.samples if s.metric == "rouge_l"}
    written = {s.fact_id: s.answer for s in outcome.samples if s.metric == "rouge_l"}
    assert (written["forget-00"], written["forget-01"]) == ("Oslo", "old")  # what these values are of
    assert {s.answer for s in outcome.samples if s.metric == "both"} == {None}
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
    plain = sampling.sample
    monkeypatch.setattr(sampling, "sample", lambda *given: drawn.append(plain(*given)) or drawn[-1])
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
