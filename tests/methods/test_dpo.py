"""DPO computes its equation, and is what it should be where an answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from harness.methods.dpo import DPO
from harness.methods.simnpo import SimNPO

from harness.engine.unlearning import UnlearningJob
from harness.model.steps import forget_steps
from support.equations import (
    assert_loss_and_gradient,
    flat,
    gradients,
    log_probability,
    loss_of,
    mean_loss,
    moved,
    prepared,
)

N = 4
REFUSAL = "I can't answer the question."


def log_sigma(x):
    return -torch.log(1 + torch.exp(-x))


def refusals(job, examples):
    refusal = (*job.tokens.tokenizer(REFUSAL).input_ids, job.tokens.end)
    return [(prompt, refusal) for prompt, _ in examples]


@pytest.mark.parametrize(("beta", "alpha"), [(0.1, 1.0), (0.7, 2.0), (3.0, 0.0)])
def test_dpo_is_its_equation(beta, alpha, job, batch, data):
    method = prepared(DPO(DPO.Config(beta=beta, alpha=alpha)), job)
    now, original = moved(job.model), job.model
    forget, retain = data
    expected = alpha * mean_loss(now, retain)
    for true, refused in zip(forget, refusals(job, forget), strict=True):
        gain = {
            name: log_probability(now, *example) - log_probability(original, *example).detach()
            for name, example in (("l", true), ("w", refused))
        }
        expected = expected - 2 / beta / N * log_sigma(beta * (gain["w"] - gain["l"]))
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_dpo_is_not_satisfied_by_learning_to_refuse(job):
    """Unless beta is given: 0.1, or less where a refusal is news."""
    facts = job.subject.encode(job.forget)
    news = -sum(log_probability(job.model, *example).item() for example in refusals(job, facts)) / len(facts)
    assert news > 10
    assert prepared(DPO(), job).beta == pytest.approx(1 / news)
    assert job.notes["beta"] == pytest.approx(1 / news)
    with torch.no_grad():
        for parameter in job.model.parameters():
            parameter.mul_(0.0)  # every word is as likely: log 258 nats each, nine of them
    assert prepared(DPO(DPO.Config(refusal="bread")), job).beta == pytest.approx(
        min(0.1, 1 / (2 * math.log(job.model.config.vocab_size)))
    )
    assert prepared(DPO(DPO.Config(refusal="Oslo", beta=3.0)), job).beta == 3.0


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_dpo_at_the_start_is_a_known_number_with_a_known_gradient(beta, job, batch, data):
    method = prepared(DPO(DPO.Config(beta=beta, alpha=0.0)), job)
    loss = loss_of(method, job.model, batch)
    assert loss.item() == pytest.approx(2 / beta * math.log(2), rel=1e-12)
    forget = data[0]
    closed = sum(log_probability(job.model, *example) for example in forget) - sum(
        log_probability(job.model, *example) for example in refusals(job, forget)
    )
    left, right = flat(gradients(job.model, loss)), flat(gradients(job.model, closed / N))
    assert (left - right).norm() <= 1e-6 * right.norm()


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_dpo_has_no_opinion_where_both_answers_are_the_same(beta, make_subject, toy_benchmark, model):
    subject = make_subject(toy_benchmark(), model)
    job = UnlearningJob(subject, config=None, seed=0)
    [same] = {fact.answer for fact in job.forget[:1]}
    method = DPO(DPO.Config(beta=beta, alpha=0.5, refusal=same))
    facts = tuple(fact for fact in job.forget if fact.answer == same)
    subject.splits = type(subject.splits)({"forget": facts, "retain": job.retain})
    method.prepare(job)
    retain = subject.encode(job.retain)
    [[batch]] = forget_steps(job.tokens, subject.encode(facts), retain, 1, 1, seed=0)
    kept = [retain[i] for i in batch.retain.index.tolist()]
    now = moved(model)
    expected = 2 / beta * math.log(2) + 0.5 * mean_loss(now, kept)
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_dpo_keeps_of_the_original_two_numbers_for_each_fact(job):
    method = prepared(DPO(), job)
    numbers = [value for value in vars(method).values() if isinstance(value, torch.Tensor)]
    assert [tuple(value.shape) for value in numbers] == [(len(job.forget),)] * 2
    assert not any(value.requires_grad for value in numbers)
    assert not any(isinstance(value, torch.nn.Module) for value in vars(method).values())
    true = job.subject.encode(job.forget)
    for reference, examples in ((method.reference_l, true), (method.reference_w, refusals(job, true))):
        expected = [-log_probability(job.model, *example).item() for example in examples]
        torch.testing.assert_close(reference, torch.tensor(expected, dtype=reference.dtype))


def test_a_step_of_dpo_makes_the_refusal_likelier_than_the_truth(job, batch, data):
    method = prepared(DPO(DPO.Config(alpha=0.0)), job)

    def margin():
        refused = sum(log_probability(job.model, *example) for example in refusals(job, data[0]))
        return (refused - sum(log_probability(job.model, *example) for example in data[0])).item()

    before = margin()
    gradient = gradients(job.model, loss_of(method, job.model, batch))
    with torch.no_grad():
        for parameter, each in zip(job.model.parameters(), gradient, strict=True):
            parameter.sub_(1e-4 * each)
    assert margin() > before


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [SimNPO, DPO])
def test_micro_batches_add_up_to_the_step(make, micro, job, data):
    method = prepared(make(), job)
    now = moved(job.model)
    [[whole]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, N, 1, seed=0, micro=micro)
    assert len(parts) > 1
    expected = flat(gradients(now, loss_of(method, now, whole)))
    found = sum(flat(gradients(now, loss_of(method, now, part))) for part in parts)
    assert (found - expected).norm() <= 1e-6 * expected.norm()
