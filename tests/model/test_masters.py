"""Masters: optimisers of a bfloat16 model step float32 copies, and nobody else notices."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from harness.methods._sophia import Sophia

from harness.core.types import Example, Prompt
from harness.errors import HarnessError
from harness.model import models
from harness.model.lora import adapters
from harness.model.losses import cross_entropy
from harness.model.masters import Masters
from harness.model.neurons import feed_forwards, mask_steps, masks
from harness.model.steps import plain_steps
from harness.model.train import train

SLOPES = (1.0, -0.5, 0.25, 2.0)
"""Gradients that both formats hold."""


class Stubborn(torch.optim.Optimizer):
    """Sign descent on a list of its own, whatever its groups hold."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})
        self.mine = [parameter for group in self.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.mine:
            parameter.sub_(parameter.grad.sign(), alpha=self.param_groups[0]["lr"])


OPTIMIZERS = {
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01),
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=1e-5, momentum=0.9),
    "Adagrad, whose state is there before its first step": lambda p: torch.optim.Adagrad(p, lr=1e-4),
    "Sophia": lambda parameters: Sophia(parameters, lr=1e-4),
    "one with a list of its own": lambda parameters: Stubborn(parameters, lr=1e-4),
}


@pytest.fixture(scope="module")
def steps(tokens, toy_splits):
    """``steps(count)`` of training on four texts."""
    data = tokens.examples([Example(Prompt(f.question), f.answer) for f in toy_splits["forget"]])
    return lambda count: plain_steps(tokens, data, 4, count, seed=0)


@pytest.fixture
def half(tiny):
    """A model in bfloat16."""
    return tiny().to(torch.bfloat16)


def linear(model, texts):
    """A loss whose gradient does not depend on the weights: what differs afterwards is the steps alone."""
    return sum(p.double().sum() * SLOPES[i % 4] for i, p in enumerate(model.parameters())) / 64


def trained(model, steps, make, count=20, **more):
    """The weights after some steps of an optimiser on the linear loss."""
    parameters = list(model.parameters())
    optimizer = make(parameters)
    if isinstance(optimizer, Sophia):
        more["after_backward"] = lambda model: optimizer.observe({p: p.grad.square() for p in parameters})
    train(model, steps(count), linear, [optimizer], **more)
    return models.snapshot(model)


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_steps_are_those_of_float32_rounded_in_the_end(make, clip, half, tiny, steps, monkeypatch):
    start = models.snapshot(half)
    exact = tiny()
    models.restore(exact, start)
    expected = trained(exact, steps, make, clip=clip)
    found = trained(half, steps, make, clip=clip)
    for name, weight in found.items():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, expected[name].to(torch.bfloat16)), name
    models.restore(half, start)
    monkeypatch.setattr(Masters, "stepping", lambda self, *args: nullcontext())
    plain = trained(half, steps, make, clip=clip)
    assert any(not torch.equal(plain[name], found[name]) for name in found)


def test_a_model_in_float32_is_stepped_as_it_is(tiny, steps):
    model = tiny()
    places = [parameter.data_ptr() for parameter in model.parameters()]

    class Watched(torch.optim.AdamW):
        def step(self, closure=None):
            assert [parameter.data_ptr() for parameter in model.parameters()] == places
            super().step(closure)

    train(model, steps(3), cross_entropy, [Watched(model.parameters(), lr=1e-3)])
    other = tiny()
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3)
    for [texts] in steps(3):
        cross_entropy(other, texts).backward()
        optimizer.step()
        optimizer.zero_grad()
    for one, bare in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, bare)


def test_views_of_the_weights_stay_valid_and_no_gradient_is_left(half, steps):
    views = {parameter: parameter.detach() for parameter in half.parameters()}
    before = models.snapshot(half)
    train(half, steps(2), cross_entropy, [torch.optim.AdamW(half.parameters(), lr=1e-2)])
    assert any(not torch.equal(weight, before[name]) for name, weight in half.state_dict().items())
    for parameter, view in views.items():
        assert parameter.dtype == torch.bfloat16
        assert parameter.grad is None
        assert parameter.data_ptr() == view.data_ptr()


def test_an_optimiser_that_fails_leaves_the_model_in_its_format(half, steps):
    class Failing(torch.optim.SGD):
        def step(self, closure=None):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        train(half, steps(1), cross_entropy, [Failing(half.parameters(), lr=1e-2)])
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_what_a_method_writes_to_the_weights_between_steps_counts(half, steps):
    weight = half.get_parameter("model.layers.0.mlp.down_proj.weight")
    seen = []

    def project(model):
        seen.append(weight[0, 0].item())
        with torch.no_grad():
            weight[0, 0] = 0.0

    rate = 1e-3
    optimizer = Stubborn(half.parameters(), lr=rate)
    train(half, steps(3), linear, [optimizer], after_backward=project)
    seen.append(weight[0, 0].item())
    moved = torch.tensor(rate).to(torch.bfloat16).item()
    assert [abs(value) for value in seen[1:]] == [moved] * 3


def test_masked_entries_stay_bitwise(half, steps):
    chosen = torch.zeros(2, feed_forwards(half)[0].units, dtype=torch.bool)
    chosen[:, :3] = True
    found = masks(half, chosen)
    before = {parameter: parameter.detach().clone() for parameter in found}
    optimizer = torch.optim.AdamW(found, lr=1e-2, weight_decay=0.3)
    mask_steps(optimizer, found)
    train(half, steps(3), cross_entropy, [optimizer])
    for parameter, mask in found.items():
        same = parameter == before[parameter]
        assert same[~mask.expand_as(same)].all()
        assert not same[mask.expand_as(same)].all()


def test_adapters_of_a_bfloat16_model_are_in_float32(half):
    with adapters(half, 2, 4, seed=0) as parameters:
        assert {parameter.dtype for parameter in parameters} == {torch.float32}
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_a_model_in_float16_is_not_trained(tiny, steps):
    model = tiny().to(torch.float16)
    with pytest.raises(HarnessError, match=r"float16 is not trained.*Use --dtype bfloat16 or float32"):
        train(model, steps(1), cross_entropy, [torch.optim.SGD(model.parameters(), lr=1e-2)])
