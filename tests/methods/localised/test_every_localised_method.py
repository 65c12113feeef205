"""What holds for all methods that train a part of a model."""

from __future__ import annotations

import pytest
import torch
from harness.methods.klue import KLUE
from harness.methods.rmu import RMU
from harness.methods.simu import Simu, SimuRandom

from harness.model import models
from harness.model.steps import forget_steps
from support.equations import differing, flat, loss_of, moved, prepared
from support.families import FEED_FORWARD, LINEAR
from support.localised import settings, unlearnt

N = 4


@pytest.mark.parametrize("make", [KLUE, RMU, Simu, SimuRandom])
def test_a_rate_starts_without_what_the_last_left_behind(make, job):
    left, right = (
        unlearnt(make(settings(make, epochs=12, learning_rates=grid)), job)
        for grid in ((1e-3,), (1e-4, 1e-3))
    )
    assert differing(models.snapshot(left.model), models.snapshot(right.model)) == []
    assert left.notes == right.notes


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [KLUE, RMU, Simu])
def test_micro_batches_add_up_to_the_step(make, micro, job, data):
    method = prepared(make(), job)
    method.start(job.model)
    method.new_epoch(job, 0)
    trained = list(method.trainable(job.model))
    original, now = models.snapshot(job.model), moved(job.model)
    models.restore(job.model, now.state_dict())
    assert differing(original, models.snapshot(job.model))
    if make is Simu:
        method.config = Simu.Config(hessian="squared")
    [[whole]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, N, 1, seed=0, micro=micro)
    assert len(parts) > 1

    def gradient(part):
        return flat(torch.autograd.grad(loss_of(method, job.model, part), trained))

    expected = gradient(whole)
    assert (sum(map(gradient, parts)) - expected).norm() <= 1e-6 * expected.norm()


def test_every_family_is_tested():
    assert LINEAR.keys() == FEED_FORWARD.keys()
    assert len(LINEAR) == 11
