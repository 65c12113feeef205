"""Other optimisers: their arithmetic, and that they are the ones that step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.attacks.private_data import PrivateData
from harness.attacks.private_data_optimiser import Lion, PrivateDataOptimiser

from harness.engine.attacking import run_attack
from harness.engine.protocol import EMBEDDED, with_budget
from harness.model import models
from support.attacks import small
from support.facts import ids


def test_lion_takes_the_steps_of_its_algorithm():
    theta = torch.nn.Parameter(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))
    optimizer = Lion([theta], lr=0.1, weight_decay=0.01)
    value, m = theta.detach().numpy().copy(), np.zeros(3)
    for gradient in np.random.default_rng(0).normal(size=(6, 3)):
        theta.grad = torch.tensor(gradient)
        optimizer.step()
        value -= 0.1 * (np.sign(0.9 * m + 0.1 * gradient) + 0.01 * value)
        m = 0.99 * m + 0.01 * gradient
        np.testing.assert_allclose(theta.detach().numpy(), value, atol=1e-14)


def test_lion_leaves_what_has_no_gradient():
    theta = torch.nn.Parameter(torch.ones(2))
    Lion([theta], lr=0.1, weight_decay=0.5).step()
    assert theta.tolist() == [1, 1]


def test_it_holds_what_private_data_holds_and_scores_the_others(draw, toy_splits):
    for seed in range(3):
        _, other = draw(small(PrivateData, p=0.3), seed)
        job, held = draw(small(PrivateDataOptimiser), seed)
        assert [fact.id for fact in held] == [fact.id for fact in other]
        assert ids(held) | ids(job.scored) == ids(toy_splits["forget"])
        assert not ids(held) & ids(job.scored)
        assert job.notes["n_injected"] == 4


@pytest.mark.parametrize("name", ["sgd", "lion"])
def test_one_step_changes_the_weights_as_the_optimiser_does(name, make_subject, toy_benchmark):
    """By the sign of the gradient times the rate, or by the gradient times the rate."""
    subject = make_subject(toy_benchmark())
    weights = models.snapshot(subject.model)
    settings = {"optimizer": name, "learning_rates": (1e-3,), "steps": 1, "batch_size": 32}
    run_attack(subject, small(PrivateDataOptimiser, **settings), 0, weights)
    moved = {n: (t - weights[n]) / 1e-3 for n, t in subject.model.state_dict().items() if n in weights}
    steps = torch.cat([tensor.flatten() for tensor in moved.values()])
    steps = steps[steps.abs() > 1e-3]
    assert len(steps) > 100
    of_one_size = bool(((steps.abs() - 1).abs() < 0.01).all())
    assert of_one_size == (name == "lion")


def test_lion_s_rates_are_a_fifth_of_adamw_s_and_scaled_and_those_of_sgd_are_not():
    def rates(cls, **settings):
        return with_budget(cls, cls.Config(**settings), EMBEDDED).learning_rates

    lion = rates(PrivateDataOptimiser, **PrivateDataOptimiser.variants["lion"])
    assert lion == pytest.approx([rate / 5 for rate in rates(PrivateData)[:2]])
    sgd = PrivateDataOptimiser.variants["sgd"]
    assert rates(PrivateDataOptimiser, **sgd) == sgd["learning_rates"]
