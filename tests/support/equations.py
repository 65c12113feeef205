"""Losses as the papers write them, from full logits of one text at a time, and what methods are held to."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch

from harness.engine.unlearning import unlearn
from harness.model import models
from harness.model.train import terms


def log_probability(model, prompt, answer):
    """log pi(y | x): the sum over the tokens of y, with its graph."""
    logprobs = model(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(dim=-1)
    return sum(logprobs[len(prompt) - 1 + k, token] for k, token in enumerate(answer))


def mean_loss(model, examples):
    """CE: -log pi over all answer tokens, divided by their number."""
    total = -sum(log_probability(model, *example) for example in examples)
    return total / sum(len(answer) for _, answer in examples)


def loss_of(method, model, batch):
    return sum(term for _, term in terms(method.loss, method.loss(model, batch)))


def looking(model, tokens):
    """A job of which only the model and the texts are asked for."""
    device = next(model.parameters()).device
    return SimpleNamespace(
        model=model, tokens=tokens, runs=lambda data, size=32: tokens.runs(data, size, device)
    )


def gradients(model, value):
    return torch.autograd.grad(value, list(model.parameters()))


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def assert_loss_and_gradient(model, found, expected, near=1e-6):
    torch.testing.assert_close(found.double(), expected, atol=near, rtol=near)
    left, right = flat(gradients(model, found)), flat(gradients(model, expected))
    assert right.norm() > 0
    assert (left - right).norm() <= near * right.norm()


def moved(model):
    """The model some way off from where it was."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for i, parameter in enumerate(other.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            parameter.add_(0.02 * noise)
    return other


def prepared(method, job):
    method.prepare(job)
    return method


def run(method, make_subject, toy_benchmark, model, micro=None):
    """Unlearn for a few steps that never reach the threshold; return the weights."""
    benchmark = toy_benchmark(lambda split, metric, fact: 1.0)
    unlearn(make_subject(benchmark, model, micro_batch=micro), method, seed=3)
    return models.snapshot(model)


def settings(method, **more):
    return method.Config(
        learning_rates=(1e-3,), **({"epochs": 2, "batch_size": 4, "warmup_epochs": 1.0} | more)
    )


def differing(left, right):
    assert left.keys() == right.keys()
    return [name for name in left if not torch.equal(left[name], right[name])]
