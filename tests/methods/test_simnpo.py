"""SimNPO computes its equation, and is what it should be where an answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
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
    prepared,
)

N = 4


def log_sigma(x):
    return -torch.log(1 + torch.exp(-x))


@pytest.mark.parametrize(
    ("beta", "delta", "gamma", "alpha"),
    [(4.5, 0.0, 0.125, 1.0), (0.5, 0.0, 1.0, 1.0), (0.5, 2.0, 1.0, 3.0), (2.0, -0.3, 0.4, 0.0)],
)
def test_simnpo_is_its_equation(beta, delta, gamma, alpha, model, batch, data, job):
    method = prepared(SimNPO(SimNPO.Config(beta=beta, delta=delta, gamma=gamma, alpha=alpha)), job)
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
def test_simnpo_does_not_see_how_long_an_answer_is(times, tokens, job):
    model = Counter(20)
    method = prepared(SimNPO(SimNPO.Config(beta=0.7, delta=0.2, gamma=1.0, alpha=0.0)), job)
    once = [((1, 2, 3), (5, 7)), ((4,), (6, 6))]
    longer = [(prompt, answer * times) for prompt, answer in once]
    found = []
    for forget in (once, longer):
        [[batch]] = forget_steps(tokens, forget, [((1,), (2,))], 2, 1, seed=0)
        value = loss_of(method, model, batch)
        found.append((value, *gradients(model, value)))
    torch.testing.assert_close(found[0], found[1], atol=1e-12, rtol=1e-6)


def test_simnpo_tends_to_ascent_on_the_mean_of_each_answer_as_beta_falls(model, batch, data, job):
    terms = [log_probability(model, *example) / len(example[1]) for example in data[0]]
    ascent = flat(gradients(model, sum(terms) / N))
    distances = []
    for beta in (1.0, 0.1, 0.01, 0.001):
        method = prepared(SimNPO(SimNPO.Config(beta=beta, gamma=1.0, alpha=0.0)), job)
        gradient = flat(gradients(model, loss_of(method, model, batch)))
        distances.append(float((gradient - ascent).norm() / ascent.norm()))
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.1
    assert distances[-1] < 0.01


def test_simnpo_without_its_forget_weight_only_keeps(model, batch, data, job):
    method = prepared(SimNPO(SimNPO.Config(beta=4.5, gamma=0.0)), job)
    assert_loss_and_gradient(model, loss_of(method, model, batch), mean_loss(model, data[1]))


def test_simnpo_has_no_reference_model(job):
    method = prepared(SimNPO(), job)
    assert set(vars(method)) == {"config", "beta"}
    assert isinstance(method.beta, float)


def test_simnpo_lets_short_answers_go_at_the_same_sum(job):
    """Toy answers have two tokens and three, half of each; TOFU's have 40."""
    assert prepared(SimNPO(), job).beta == pytest.approx(4.5 * 2.5 / 40)
    assert job.notes["beta"] == pytest.approx(4.5 * 2.5 / 40)
    assert prepared(SimNPO(SimNPO.Config(beta=2.0)), job).beta == 2.0


def test_simnpo_takes_the_published_beta_for_long_answers(job, make_subject, toy_benchmark):
    long = [replace(fact, answer=" ".join([fact.answer] * 45)) for fact in job.forget]
    splits = type(job.subject.splits)({"forget": long, "retain": job.retain})
    subject = make_subject(toy_benchmark(), job.model, splits=splits)
    assert prepared(SimNPO(), UnlearningJob(subject, None, seed=0)).beta == 4.5
