"""Gradient difference weighs forgetting against retaining."""

from __future__ import annotations

import pytest
from harness.methods.gd import GradientDifference

from support.equations import (
    assert_loss_and_gradient,
    loss_of,
    mean_loss,
)


@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 1.0), (0.5, 1.0), (1.0, 3.0), (0.0, 1.0)])
def test_gradient_difference_weighs_forget_and_retain(gamma, alpha, model, batch, data):
    forget, retain = data
    method = GradientDifference(GradientDifference.Config(gamma=gamma, alpha=alpha))
    expected = -gamma * mean_loss(model, forget) + alpha * mean_loss(model, retain)
    assert_loss_and_gradient(model, loss_of(method, model, batch), expected)
