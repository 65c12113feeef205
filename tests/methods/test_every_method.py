"""What holds for several methods: micro-batches add up to the step, and no family of models breaks them."""

from __future__ import annotations

import pytest
import torch
from harness.methods.dpo import DPO
from harness.methods.ga import GradientAscent
from harness.methods.gd import GradientDifference
from harness.methods.npo import NPO
from harness.methods.refusal import Refusal
from harness.methods.simnpo import SimNPO
from harness.methods.ssiuu import Ssiuu

from harness.model import models
from harness.model.steps import forget_steps
from support.equations import (
    flat,
    gradients,
    loss_of,
    prepared,
    run,
    settings,
)
from support.families import LINEAR

N = 4


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [GradientAscent, GradientDifference, NPO, Refusal, Ssiuu])
def test_micro_batches_add_up_to_the_step(make, micro, job, data):
    method = prepared(make(), job)
    method.start(job.model)
    [[whole]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, N, 1, seed=0, micro=micro)
    assert len(parts) > 1
    expected = flat(gradients(job.model, loss_of(method, job.model, whole)))
    found = sum(flat(gradients(job.model, loss_of(method, job.model, part))) for part in parts)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize("family", LINEAR)
@pytest.mark.parametrize("make", [SimNPO, DPO])
def test_two_steps_in_any_family_stay_finite(make, family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(make(settings(make, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)
