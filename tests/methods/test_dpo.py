"""SimNPO and DPO compute their equations, and are what they should be where an answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from harness.methods.dpo import DPO
from harness.methods.simnpo import SimNPO

from harness import models
from harness.run import Unlearning
from harness.train import forget_steps
from support.equations import (
    assert_loss_and_gradient,
    flat,
    gradients,
    log_probability,
    loss_of,
    mean_loss,
    moved,
    prepared,
    run,
    settings,
)
from support.families import LINEAR

N = 4
REFUSAL = "I can't answer the question."


def log_sigma(x):
    return -torch.log(1 + torch.exp(-x))


# SimNPO.


@pytest.mark.parametrize(
    ("beta", "delta", "gamma", "alpha"),
    [(4.5, 0.0, 0.125, 1.0), (0.5, 0.0, 1.0, 1.0), (0.5, 2.0, 1.0, 3.0), (2.0, -0.3, 0.4, 0.0)],
)
def test_simnpo_is_its_equation(beta, delta, gamma, alpha, model, batch, data):
    method = SimNPO(SimNPO.Config(beta=beta, delta=delta, gamma=gamma, alpha=alpha))
    forget, retain = data
    expected = alpha * mean_loss(model, retain)
    for prompt, answer in forget:
        per_token = -log_probability(model, prompt, answer) / len(answer)
        expected = expected - gamma * (2 / beta) / N * log_sigma(beta * (per_token - delta))
    assert_loss_and_gradient(model, loss_of(method, model, batch), expected)


class Counter(torch.nn.Module):
    """A model of which every answer token has the same NLL, whatever comes before it."""

    def __init__(self, words):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.randn(words, generator=torch.Generator().manual_seed(0)))

    def forward(self, input_ids, logits_to_keep, **kwargs):
        class Output:
            logits = self.logits.double().expand(*input_ids.shape, -1)[:, -logits_to_keep:]

        return Output()


@pytest.mark.parametrize("times", [2, 3, 10])
def test_simnpo_does_not_see_how_long_an_answer_is(times, tokens):
    model = Counter(20)
    method = SimNPO(SimNPO.Config(beta=0.7, delta=0.2, gamma=1.0, alpha=0.0))
    once = [((1, 2, 3), (5, 7)), ((4,), (6, 6))]
    longer = [(prompt, answer * times) for prompt, answer in once]
    found = []
    for forget in (once, longer):
        [[batch]] = forget_steps(tokens, forget, [((1,), (2,))], 2, 1, seed=0)
        value = loss_of(method, model, batch)
        found.append((value, *gradients(model, value)))
    torch.testing.assert_close(found[0], found[1], atol=1e-12, rtol=1e-6)


def test_simnpo_tends_to_ascent_on_the_mean_of_each_answer_as_beta_falls(model, batch, data):
    terms = [log_probability(model, *example) / len(example[1]) for example in data[0]]
    ascent = flat(gradients(model, sum(terms) / N))
    distances = []
    for beta in (1.0, 0.1, 0.01, 0.001):
        method = SimNPO(SimNPO.Config(beta=beta, gamma=1.0, alpha=0.0))
        gradient = flat(gradients(model, loss_of(method, model, batch)))
        distances.append(float((gradient - ascent).norm() / ascent.norm()))
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.1
    assert distances[-1] < 0.01


def test_simnpo_without_its_forget_weight_only_keeps(model, batch, data):
    method = SimNPO(SimNPO.Config(beta=4.5, gamma=0.0))
    assert_loss_and_gradient(model, loss_of(method, model, batch), mean_loss(model, data[1]))


def test_simnpo_has_no_reference_model(job):
    method = prepared(SimNPO(), job)
    assert set(vars(method)) == {"config", "fitted"}
    assert isinstance(method.fitted, float)


def test_simnpo_lets_short_answers_go_at_the_same_sum(job):
    """Toy answers have two tokens and three, half of each; TOFU's have 40."""
    assert prepared(SimNPO(), job).beta == pytest.approx(4.5 * 2.5 / 40)
    assert job.notes["beta"] == pytest.approx(4.5 * 2.5 / 40)
    assert prepared(SimNPO(SimNPO.Config(beta=2.0)), job).beta == 2.0


def test_simnpo_takes_the_published_beta_for_long_answers(job, make_subject, toy_benchmark):
    long = [replace(fact, answer=" ".join([fact.answer] * 45)) for fact in job.forget]
    splits = type(job.subject.splits)({"forget": long, "retain": job.retain})
    subject = make_subject(toy_benchmark(), job.model, splits=splits)
    assert prepared(SimNPO(), Unlearning(subject, None, seed=0)).beta == 4.5


# DPO.


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
    job = Unlearning(subject, config=None, seed=0)
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


# Both.


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


@pytest.mark.parametrize("family", LINEAR)
@pytest.mark.parametrize("make", [SimNPO, DPO])
def test_two_steps_in_any_family_stay_finite(make, family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(make(settings(make, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)
