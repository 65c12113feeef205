"""Gradient difference weighs forgetting against retaining."""

from __future__ import annotations

import pytest
import torch
from harness.methods.gd import GradientDifference

from support.equations import (
    assert_loss_and_gradient,
    gradients,
    loss_of,
    mean_loss,
)


@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 1.0), (0.5, 1.0), (1.0, 3.0), (0.0, 1.0)])
def test_gradient_difference_weighs_forget_and_retain(gamma, alpha, model, batch, data):
    forget, retain = data
    method = GradientDifference(GradientDifference.Config(gamma=gamma, alpha=alpha))
    expected = -gamma * mean_loss(model, forget) + alpha * mean_loss(model, retain)
    assert_loss_and_gradient(model, loss_of(method, model, batch), expected)


def test_by_sgd_a_step_goes_straight_against_the_gradient(model, batch, data):
    forget, retain = data
    method = GradientDifference(GradientDifference.Config(optimizer="sgd"))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    expected = gradients(model, -mean_loss(model, forget) + mean_loss(model, retain))
    loss_of(method, model, batch).backward()
    method.optimizer(list(model.parameters()), 0.5).step()
    for parameter, old, gradient in zip(model.parameters(), before, expected, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.5 * gradient, rtol=1e-6, atol=1e-9)
