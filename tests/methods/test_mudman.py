"""MUDMAN steps where forgetting and keeping agree, by an adversary's gradient."""

from __future__ import annotations

import pytest
import torch
from harness.methods.mudman import MUDMAN

from harness.model import models
from harness.model.neurons import feed_forwards
from harness.model.steps import forget_steps
from harness.model.train import train
from support.equations import differing, flat, mean_loss, run, settings
from support.families import LINEAR

RATE = 1e-2


def entropy(model, examples):
    """Mean entropy over answer tokens, nats."""
    total, count = 0.0, 0
    for prompt, answer in examples:
        logprobs = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        total = total - (logprobs.exp() * logprobs).sum()
        count += len(answer)
    return total / count


def written_out(model, data, steps, fork, adversary, rho, mu):
    """The weights after some steps on all of the data, by the equations."""
    weights = [part.into[0].weight for part in feed_forwards(model)]
    w = [weight.detach().clone() for weight in weights]
    n = sum(weight.numel() for weight in w)
    r = [torch.zeros_like(weight) for weight in w]

    def gradient(at, function, examples):
        with models.restored(weights, at):
            return torch.autograd.grad(function(model, examples), weights)

    for step in range(steps):
        if step % fork == 0:
            a = w
        r = [mu * old + (1 - mu) * new for old, new in zip(r, gradient(w, mean_loss, data[1]), strict=True)]
        g = [-each for each in gradient(a, entropy, data[0])]
        norm = flat(g).norm()
        relearn = gradient(a, mean_loss, data[0])
        a = [x - RATE * n**0.5 * adversary * y for x, y in zip(a, relearn, strict=True)]
        masked = [each * (each.sign() == kept.sign()) / norm for each, kept in zip(g, r, strict=True)]
        w = [x - RATE * n**0.5 * (y + rho * z) for x, y, z in zip(w, masked, r, strict=True)]
    return w


def taken(method, model, steps):
    """The weights of the first maps after these steps of the loop."""
    method.start(model)
    chosen = method.trainable(model)
    train(model, steps, method.loss, [method.optimizer(chosen, RATE)], combine=method.combine)
    return [weight.detach() for weight in chosen]


@pytest.mark.parametrize(("fork", "micro"), [(1, None), (2, None), (2, 3)])
def test_three_steps_are_those_of_the_equations(fork, micro, job, data):
    given = {"fork": fork, "adversary": 0.2, "rho": 0.05, "mu": 0.6}
    expected = written_out(job.model, data, 3, **given)
    steps = forget_steps(job.tokens, *data, 4, 3, seed=0, micro=micro)
    found = taken(MUDMAN(MUDMAN.Config(**given)), job.model, steps)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_a_step_has_at_most_the_length_that_the_rate_says(job, data):
    before = [part.into[0].weight.detach().clone() for part in feed_forwards(job.model)]
    steps = forget_steps(job.tokens, *data, 4, 1, seed=0)
    after = taken(MUDMAN(MUDMAN.Config(rho=0.0)), job.model, steps)
    moved, n = flat([x - y for x, y in zip(after, before, strict=True)]), flat(before).numel()
    assert 0 < moved.norm() < RATE * n**0.5
    assert 0.1 < (moved == 0).double().mean() < 0.9  # what is masked stays bit for bit


def test_the_adversary_relearns_and_the_model_forgets(job, data):
    method = MUDMAN(MUDMAN.Config(adversary=0.1, fork=1000))
    before = entropy(job.model, data[0]).item(), mean_loss(job.model, data[0]).item()
    taken(method, job.model, forget_steps(job.tokens, *data, 4, 8, seed=0))
    assert entropy(job.model, data[0]).item() > before[0]
    with models.restored(method.trained, method.adversary):
        assert mean_loss(job.model, data[0]).item() < before[1]


def test_an_error_does_not_leave_the_adversary_in_the_model(job, batch):
    method = MUDMAN(MUDMAN.Config())
    method.start(job.model)
    method.trainable(job.model)
    method.adversary = [weight.detach() + 1 for weight in method.trained]
    before = models.snapshot(job.model)
    terms = method.loss(job.model, batch)
    assert [next(terms)[0], next(terms)[0]] == ["retain", "adversary"]
    assert differing(before, models.snapshot(job.model))
    terms.close()
    assert differing(before, models.snapshot(job.model)) == []


@pytest.mark.parametrize("family", LINEAR)
def test_only_the_first_feed_forward_maps_change(family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(MUDMAN(settings(MUDMAN, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert set(differing(before, after)) == {names[part.into[0].weight] for part in feed_forwards(model)}
