"""The shared optimiser steps alike whether or not it goes over a large model in one kernel."""

from __future__ import annotations

import torch

from harness.core import optimizers


def stepped(size, monkeypatch, fused_from):
    monkeypatch.setattr(optimizers, "FUSED", fused_from)
    parameters = [torch.nn.Parameter(torch.linspace(-1, 1, n, dtype=torch.float64)) for n in (size, 3 * size)]
    optimizer = optimizers.adamw(parameters, 1e-2, weight_decay=0.1)
    for step in range(5):
        for parameter in parameters:
            parameter.grad = (parameter.detach() * (step + 1)).cos()
        optimizer.step()
    return optimizer.defaults["fused"], torch.cat([parameter.detach() for parameter in parameters])


def by_hand(values, rate=1e-2, decay=0.1, betas=(0.9, 0.999), eps=1e-8):
    """Algorithm 2 of 1711.05101."""
    first = second = torch.zeros_like(values)
    for step in range(5):
        gradient = (values * (step + 1)).cos()
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
        mean, square = (m / (1 - b ** (step + 1)) for m, b in zip((first, second), betas, strict=True))
        values = values - rate * decay * values - rate * mean / (square.sqrt() + eps)
    return values


def test_steps_are_those_of_the_paper_fused_or_not(monkeypatch):
    expected = torch.cat([by_hand(torch.linspace(-1, 1, n, dtype=torch.float64)) for n in (100, 300)])
    for fused_from, fused in ((400, True), (401, None)):
        found = stepped(100, monkeypatch, fused_from)
        assert found[0] is fused
        torch.testing.assert_close(found[1], expected, rtol=1e-12, atol=1e-14)
