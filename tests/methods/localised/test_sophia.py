"""Sophia takes the steps of its paper."""

from __future__ import annotations

import pytest
import torch
from harness.methods._sophia import Sophia


def hand_sophia(theta, gradients, estimates, lr, rho, decay, beta_1=0.9, beta_2=0.95, eps=1e-15):
    """theta after a list of steps, in plain floats; an estimate is None where there is none."""
    m = h = 0.0
    clipped = 0
    for g, estimate in zip(gradients, estimates, strict=True):
        if estimate is not None:
            h = beta_2 * h + (1 - beta_2) * estimate
        m = beta_1 * m + (1 - beta_1) * g
        ratio = m / max(rho * h, eps)
        clipped += abs(ratio) > 1
        theta = theta - lr * decay * theta - lr * max(-1.0, min(1.0, ratio))
    return theta, clipped


@pytest.mark.parametrize(("rho", "decay"), [(0.04, 0.1), (20.0, 0.0), (1000.0, 0.5)])
def test_sophia_takes_the_steps_of_its_paper(rho, decay):
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(12, 7, generator=generator, dtype=torch.float64)
    estimates = [
        torch.rand(7, generator=generator, dtype=torch.float64) if i % 5 == 0 else None for i in range(12)
    ]
    start = torch.randn(7, generator=generator, dtype=torch.float64)
    parameter = torch.nn.Parameter(start.clone())
    sophia = Sophia([parameter], lr=0.01, rho=rho, weight_decay=decay)
    for gradient, estimate in zip(gradients, estimates, strict=True):
        parameter.grad = gradient.clone()
        if estimate is not None:
            sophia.observe({parameter: estimate})
        sophia.step()
    found = [
        hand_sophia(
            start[i].item(),
            gradients[:, i].tolist(),
            [None if e is None else e[i].item() for e in estimates],
            0.01,
            rho,
            decay,
        )
        for i in range(7)
    ]
    expected = torch.tensor([value for value, _ in found], dtype=torch.float64)
    torch.testing.assert_close(parameter.detach(), expected, atol=1e-9, rtol=0)
    assert (sophia.clipped, sophia.seen) == (sum(c for _, c in found), 12 * 7)


def test_sophia_without_curvature_takes_the_sign():
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([2.0, -0.5, 0.0])
    Sophia([parameter], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-0.1, 0.1, 0.0]))


def test_sophia_leaves_a_parameter_without_gradient():
    parameter = torch.nn.Parameter(torch.ones(3))
    Sophia([parameter], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(parameter.detach(), torch.ones(3))
