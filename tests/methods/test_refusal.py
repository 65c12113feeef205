"""The refusal control learns to decline."""

from __future__ import annotations

import pytest
from harness.methods.refusal import Refusal

from harness.engine.unlearning import UnlearningJob
from support.equations import (
    assert_loss_and_gradient,
    log_probability,
    loss_of,
    mean_loss,
    prepared,
)


def test_refusal_learns_to_decline_and_keeps_the_rest(job, batch, data):
    method = prepared(Refusal(), job)
    refusal = (*job.tokens.tokenizer("I can't answer the question.").input_ids, job.tokens.end)
    forget, retain = data
    expected = mean_loss(job.model, [(prompt, refusal) for prompt, _ in forget]) + mean_loss(
        job.model, retain
    )
    assert_loss_and_gradient(job.model, loss_of(method, job.model, batch), expected)


def test_refusal_stops_by_the_facts_whose_answer_is_likelier_than_the_refusal(job):
    assert job.forget_score("exact_match") == 0
    method = Refusal(Refusal.Config(refusal="Ada"))
    refusal = (*job.tokens.tokenizer("Ada").input_ids, job.tokens.end)
    asked = job.encode(job.forget)
    expected = [
        float(log_probability(job.model, prompt, answer) > log_probability(job.model, prompt, refusal))
        for prompt, answer in asked
    ]
    assert 0 < sum(expected) < len(expected)
    assert method.stop_score(job) == pytest.approx(sum(expected) / len(expected))


def test_of_a_model_that_answers_exactly_it_stops_by_the_exact_answers(model, make_subject, toy_benchmark):
    job = UnlearningJob(
        make_subject(toy_benchmark(lambda split, metric, fact: 1.0), model), config=None, seed=0
    )
    assert Refusal().stop_score(job) is None
