"""NPO computes its preference loss, and is what it should be at the ends of its settings."""

from __future__ import annotations

import pytest
import torch
from harness.methods.npo import NPO

from harness.model import models
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


@pytest.mark.parametrize("retain", ["ce", "none"])
@pytest.mark.parametrize(("beta", "alpha"), [(0.1, 1.0), (0.7, 2.0)])
def test_npo_is_the_preference_loss_against_the_original(beta, alpha, retain, job, batch, data):
    method = prepared(NPO(NPO.Config(beta=beta, alpha=alpha, retain=retain)), job)
    now = moved(job.model)
    forget, kept = data
    expected = 0.0
    for example in forget:
        ratio = log_probability(now, *example) - log_probability(job.model, *example).detach()
        expected = expected - 2 / beta * torch.log(1 / (1 + torch.exp(beta * ratio))) / N
    if retain == "ce":
        expected = expected + alpha * mean_loss(now, kept)
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_the_kl_retain_term_of_npo_is_that_of_the_original_to_the_model_now(job, batch, data):
    job.original = models.snapshot(job.model)
    now = moved(job.model)
    found = [
        loss_of(prepared(NPO(NPO.Config(alpha=2.0, retain=retain)), job), now, batch)
        for retain in ("kl", "none")
    ]
    total = 0.0
    for prompt, answer in data[1]:
        old, new = (
            m(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].log_softmax(dim=-1)
            for m in (job.model, now)
        )
        total = total + (old.detach().exp() * (old.detach() - new)).sum()
    expected = 2.0 * total / sum(len(answer) for _, answer in data[1])
    assert expected > 0.01
    assert_loss_and_gradient(now, found[0] - found[1], expected, near=1e-5)  # KL is taken in float32


@pytest.mark.parametrize("micro", [None, 1, 3])
def test_the_kl_over_all_tokens_is_each_texts_mean_over_prompt_and_answer(micro, job, data):
    job.original = models.snapshot(job.model)
    now = moved(job.model)
    [step] = forget_steps(job.tokens, *data, 4, 1, 0, micro)
    method, without = (
        prepared(NPO(NPO.Config(alpha=2.0, retain=retain)), job) for retain in ("kl-all", "none")
    )
    found = sum(loss_of(method, now, part) - loss_of(without, now, part) for part in step)
    expected = 0.0
    for prompt, answer in data[1]:
        old, new = (
            m(torch.tensor([[*prompt, *answer]])).logits[0, :-1].log_softmax(dim=-1) for m in (job.model, now)
        )
        kl = (old.detach().exp() * (old.detach() - new)).sum(dim=-1)
        assert len(kl) == len(prompt) + len(answer) - 1
        expected = expected + 2.0 * kl.mean() / len(data[1])
    assert expected > 0.01
    assert_loss_and_gradient(now, found, expected, near=1e-5)


def test_npo_weighs_the_gradient_of_each_sequence_by_how_far_it_has_gone(job, batch, data):
    beta = 0.5
    method = prepared(NPO(NPO.Config(beta=beta, retain="none")), job)
    now = moved(job.model)
    expected = 0.0
    weights = []
    for example in data[0]:
        log_pi = log_probability(now, *example)
        pi, pi_0 = log_pi.exp().detach(), log_probability(job.model, *example).exp().detach()
        weights.append(2 * pi**beta / (pi**beta + pi_0**beta))
        expected = expected + weights[-1] * log_pi / N  # descent on it is weighted ascent on NLL_sum
    assert max(weights) - min(weights) > 0.01
    left, right = flat(gradients(now, loss_of(method, now, batch))), flat(gradients(now, expected))
    assert (left - right).norm() <= 1e-6 * right.norm()


def test_npo_tends_to_gradient_ascent_on_whole_sequences_as_beta_falls(job, batch, data):
    now = moved(job.model)
    ascent = flat(gradients(now, sum(log_probability(now, *example) for example in data[0]) / N))
    distances = []
    for beta in (1.0, 0.1, 0.01, 0.001):
        method = prepared(NPO(NPO.Config(beta=beta, retain="none")), job)
        gradient = flat(gradients(now, loss_of(method, now, batch)))
        distances.append(float((gradient - ascent).norm() / ascent.norm()))
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 1e-3
    assert distances[-1] < 1e-3
    assert torch.cosine_similarity(gradient, ascent, dim=0) > 0.9999


@pytest.mark.parametrize("retain", ["kl", "kl-all"])
def test_the_kl_retain_terms_refuse_adapters(retain):
    with pytest.raises(ValueError, match=f"retain={retain} needs the weights of pi_0"):
        NPO.Config(retain=retain, lora_r=4)


def test_npo_keeps_of_the_original_one_number_for_each_fact(job):
    method = prepared(NPO(), job)
    [reference] = [value for value in vars(method).values() if isinstance(value, torch.Tensor)]
    assert not any(isinstance(value, torch.nn.Module) for value in vars(method).values())
    assert reference.shape == (len(job.forget),)
    assert not reference.requires_grad
    expected = [-log_probability(job.model, *example).item() for example in job.subject.encode(job.forget)]
    torch.testing.assert_close(reference, torch.tensor(expected, dtype=reference.dtype))
