"""What an evaluation measures, asks and reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.types import Reported, Sample, Splits
from harness.engine.attacking import AttackJob
from harness.engine.evaluation import evaluate, gradient
from harness.engine.unlearning import UnlearningJob
from harness.scoring.metrics import exact_match, harmonic_mean, means


def test_the_forget_score_is_the_mean_over_the_forget_set(make_subject, toy_benchmark, toy_splits):
    known = {fact.id for fact in toy_splits["forget"][:3]}
    subject = make_subject(toy_benchmark(lambda split, metric, fact: float(fact.id in known)))
    assert UnlearningJob(subject, None, seed=0).forget_score("exact_match") == pytest.approx(3 / 12)


def test_facts_are_learnt_as_plain_questions_with_their_answers(
    make_subject, toy_benchmark, toy_splits, tokens
):
    [(prompt, answer)] = make_subject(toy_benchmark()).encode(toy_splits["forget"][:1])
    assert tokens.decode(prompt) == "Question : Where does Ada live? Answer :"
    assert tokens.decode(answer) == "Oslo"
    assert answer[-1] == tokens.end


def test_a_benchmark_asked_for_one_metric_runs_no_other(make_subject, toy_benchmark, toy_splits):
    samples = make_subject(toy_benchmark()).score(toy_splits, ["probability"])
    assert {sample.metric for sample in samples} == {"probability"}
    assert len(samples) == 36


def test_an_evaluation_holds_every_metric_the_samples_and_what_the_benchmark_adds_up(
    make_subject, toy_benchmark
):
    class Useful(toy_benchmark):
        def aggregates(self, samples):
            values = means(samples)
            return {"utility": values["retain", "exact_match"] + values["forget", "exact_match"]}

    scores = {"forget": 0.25, "retain": 0.5, "instruct": 1.0}
    subject = make_subject(Useful(lambda split, metric, fact: scores[split]))
    outcome = evaluate(subject)
    found = {(m.split, m.metric): m.value for m in outcome.metrics}
    assert found == {
        **{(split, metric): value for split, value in scores.items() for metric in Useful.curve_metrics},
        ("all", "utility"): 0.75,
    }
    assert len(outcome.samples) == 72
    assert outcome.notes == {
        "forget_metric": "exact_match",
        "retain_metric": ["retain", "exact_match"],
        "threshold": 0.3,
        "threshold_high": 0.3,
        "parameters": sum(p.numel() for p in subject.model.parameters()),
        "threshold_rule": "benchmark",
        "chance": 0.0,
        "n_scored": 12,
        "frame": "plain",
        "gradient": {
            "utility": {s: {"exact_match": pytest.approx(1, abs=1e-6)} for s in ("forget", "retain")}
        },
    }


def test_the_gradient_of_an_aggregate_is_that_of_its_formula(toy_benchmark):
    class Harmonic(toy_benchmark):
        def aggregates(self, samples):
            return {"utility": harmonic_mean(list(means(samples).values()))}

    class Forgotten(toy_benchmark):
        def aggregates(self, samples):
            return {"utility": harmonic_mean([1 - means(samples)["forget", "a"]])}

    samples = [
        *(Sample("forget", "a", str(fact), value) for fact, value in enumerate((0.0, 0.5, 1.0, 1.0))),
        *(Sample("retain", "a", str(fact), value) for fact, value in enumerate((0.25, 0.25))),
        *(Sample("retain", "b", str(fact), value) for fact, value in enumerate((0.0, 0.0))),
    ]
    assert gradient(Harmonic(), samples, "utility")["retain"]["b"] == pytest.approx(3, rel=1e-4)
    known = [replace(sample, value=1.0) for sample in samples]
    assert gradient(Forgotten(), known, "utility") == {"forget": {"a": pytest.approx(-1, rel=1e-5)}}
    u = 2 / (1 / 0.625 + 1 / 0.25)
    assert gradient(Harmonic(), samples[:-2], "utility") == {
        "forget": {"a": pytest.approx(u**2 / 2 / 0.625**2, rel=1e-5)},
        "retain": {"a": pytest.approx(u**2 / 2 / 0.25**2, rel=1e-5)},
    }


@pytest.mark.parametrize("with_twin", [False, True])
def test_what_is_reported_and_was_not_computed_is_named_with_the_reason(
    make_subject, toy_benchmark, with_twin
):
    class Reporting(toy_benchmark):
        reports = (
            Reported("exact_match", ("forget", "holdout"), exact_match),
            Reported("distance", ("all",), exact_match, ("twin",)),
            Reported("leak", ("all",), exact_match, ("holdout", "twin")),
            Reported("odd", ("all",), exact_match),
        )

        def against_twin(self, samples, twin):
            return {"distance": float(len(samples) - len(twin))}

    twin = [Sample("forget", "exact_match", "a", 1.0)] if with_twin else None
    outcome = evaluate(make_subject(Reporting(), twin=twin))
    expected = {
        "holdout.exact_match": "there is no split 'holdout'",
        "distance": "there is no retrain twin",
        "leak": "there is no split 'holdout'",
        "odd": "it is not defined on these facts",
    }
    found = {m.metric: m.value for m in outcome.metrics if m.split == "all"}
    if with_twin:
        del expected["distance"]
        assert found == {"distance": 71.0}
    else:
        assert found == {}
    assert outcome.notes["not_computed"] == expected


def test_the_facts_remembered_are_those_above_the_threshold(make_subject, toy_benchmark, toy_splits):
    values = {"forget-00": 1.0, "forget-01": 0.31, "forget-02": 0.3}
    benchmark = toy_benchmark(lambda split, metric, fact: values.get(fact.id, 0.0), stop=0.3)
    subject = make_subject(benchmark)
    assert subject.remembered(toy_splits["forget"]) == {"forget-00", "forget-01"}
    assert subject.remembered(toy_splits["forget"][2:]) == set()


def test_the_facts_answered_are_those_with_a_perfect_forget_metric(make_subject, toy_benchmark, toy_splits):
    values = {"forget-00": 1.0, "forget-01": 0.99, "forget-02": 1.0}
    subject = make_subject(toy_benchmark(lambda split, metric, fact: values.get(fact.id, 0.0)))
    job = AttackJob(subject, None, 0, Splits({}), {})
    assert job.answered(toy_splits["forget"]) == {"forget-00", "forget-02"}
