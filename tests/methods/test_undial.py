"""UNDIAL distils the original with lowered logits, and is the divergence from it where nothing is lowered."""

from __future__ import annotations

import pytest
import torch
from harness.methods.undial import UNDIAL

from harness import losses
from harness.model import models
from support.equations import (
    assert_loss_and_gradient,
    differing,
    flat,
    gradients,
    loss_of,
    mean_loss,
    moved,
    prepared,
    run,
    settings,
)


def distilled(now, before, examples, beta):
    """mean_i H(softmax(z_0 - beta onehot(y)), pi), one answer token at a time."""
    total, count = 0.0, 0
    for prompt, answer in examples:
        new, old = (m(torch.tensor([[*prompt, *answer]])).logits[0] for m in (now, before))
        for i, token in enumerate(answer):
            lowered = old[len(prompt) - 1 + i].detach().clone()
            lowered[token] -= beta
            total = total - (lowered.softmax(0) * new[len(prompt) - 1 + i].log_softmax(0)).sum()
            count += 1
    return total / count


@pytest.mark.parametrize(("beta", "gamma", "alpha"), [(10.0, 1.0, 0.0), (2.0, 0.5, 1.5)])
def test_undial_is_its_equation(beta, gamma, alpha, job, batch, data):
    method = prepared(UNDIAL(UNDIAL.Config(beta=beta, gamma=gamma, alpha=alpha)), job)
    now = moved(job.model)
    expected = gamma * distilled(now, job.model, data[0], beta) + alpha * mean_loss(now, data[1])
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


def test_undial_without_strength_is_the_divergence_from_the_original(job, batch):
    method = prepared(UNDIAL(UNDIAL.Config(beta=0.0)), job)
    at_the_original = flat(gradients(job.model, loss_of(method, job.model, batch)))
    assert at_the_original.norm() < 1e-10
    now = moved(job.model)
    found = flat(gradients(now, loss_of(method, now, batch)))
    expected = flat(gradients(now, losses.kl_to(now, job.original, batch.forget)))
    assert expected.norm() > 1e-3
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_undial_without_strength_leaves_the_model_where_it_is(tiny, make_subject, toy_benchmark):
    """There is no gradient but rounding; SGD takes it as it is, where AdamW would make steps of it."""

    class Plain(UNDIAL):
        def optimizer(self, parameters, lr):
            return torch.optim.SGD(parameters, lr=lr)

    model = tiny().double()
    before = models.snapshot(model)
    after = run(Plain(settings(UNDIAL, beta=0.0)), make_subject, toy_benchmark, model)
    assert all(torch.allclose(before[name], after[name], atol=1e-12) for name in before)
    stronger = run(Plain(settings(UNDIAL)), make_subject, toy_benchmark, tiny().double())
    assert differing(before, stronger)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_two_steps_of_undial_stay_finite(family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(UNDIAL(settings(UNDIAL, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert differing(before, after)
