"""signsgd steps by the sign of the gradient."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference
from harness.modifiers.signsgd import SignSGD

from harness.core.base import Method
from harness.core.config import MethodConfig
from harness.errors import HarnessError
from support.composed import Opposed, over
from support.equations import loss_of


def test_three_steps_are_signs_with_decoupled_weight_decay(model, batch):
    lr, decay = 1e-3, 0.1
    method = over(Opposed, SignSGD, weight_decay=decay)
    optimizer = method.optimizer(list(model.parameters()), lr)
    for _ in range(3):
        model.zero_grad()
        loss_of(method, model, batch).backward()
        with torch.no_grad():
            expected = [p - lr * decay * p - lr * p.grad.sign() for p in model.parameters()]
        optimizer.step()
        for parameter, value in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.detach(), value, rtol=0, atol=1e-9)


def test_in_between_adam_only_forgets_faster():
    weight = torch.nn.Parameter(torch.ones(2))
    [group] = over(Opposed, SignSGD, signsgd_strength=0.5).optimizer([weight], 1e-3).param_groups
    assert group["betas"] == pytest.approx((0.45, 0.4995))
    plain = over(Opposed, SignSGD, signsgd_strength=0.0).optimizer([weight], 1e-3).param_groups[0]
    assert {k: v for k, v in plain.items() if k != "params"} == {
        k: v for k, v in Opposed().optimizer([weight], 1e-3).param_groups[0].items() if k != "params"
    }


class Momentum(Method):
    """SGD."""

    name = "momentum"
    Config = MethodConfig

    def loss(self, model, batch):
        raise AssertionError("no step is taken")

    def optimizer(self, parameters, lr):
        return torch.optim.SGD(parameters, lr, momentum=0.9)


def test_over_another_optimiser_it_is_refused():
    with pytest.raises(ValueError, match="'gd' steps by sgd, and signsgd lowers the betas of AdamW"):
        over(GradientDifference, SignSGD, optimizer="sgd")
    with pytest.raises(HarnessError, match="'momentum' steps by SGD"):
        over(Momentum, SignSGD).optimizer([torch.nn.Parameter(torch.ones(1))], 1.0)
