"""Gradient ascent is minus the loss of the forget set."""

from __future__ import annotations

from harness.methods.ga import GradientAscent

from support.equations import (
    assert_loss_and_gradient,
    loss_of,
    mean_loss,
)


def test_gradient_ascent_is_minus_the_mean_loss_of_the_forget_set(model, batch, data):
    forget, _ = data
    assert_loss_and_gradient(model, loss_of(GradientAscent(), model, batch), -mean_loss(model, forget))
