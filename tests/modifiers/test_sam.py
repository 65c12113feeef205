"""sam takes the forget gradient where the loss is worst nearby."""

from __future__ import annotations

import copy

import pytest
import torch
from harness.methods.ga import GradientAscent
from harness.modifiers.sam import SAM

from harness.model import models
from support.composed import Opposed, gradients_of, over
from support.equations import flat, gradients, mean_loss


@pytest.mark.parametrize("rho", [0.01, 0.3])
def test_the_forget_gradient_is_that_at_rho_along_itself(rho, model, batch, data):
    forget, retain = data
    g_f, g_r = (gradients(model, sign * mean_loss(model, part)) for sign, part in ((-1, forget), (1, retain)))
    nearby = copy.deepcopy(model)
    with torch.no_grad():
        for parameter, g in zip(nearby.parameters(), g_f, strict=True):
            parameter.add_(rho * g / flat(g_f).norm())
    expected = flat(gradients(nearby, -mean_loss(nearby, forget))) + flat(g_r)
    before = models.fingerprint(model.state_dict())
    found = flat(gradients_of(over(Opposed, SAM, sam_rho=rho), model, batch))
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    assert (found - flat(g_f) - flat(g_r)).norm() > 1e-3 * expected.norm()  # and it is another one
    assert models.fingerprint(model.state_dict()) == before


def test_a_method_that_only_forgets_has_one_gradient(model, batch, data):
    method = over(GradientAscent, SAM, sam_rho=1e-9)
    expected = flat(gradients(model, -mean_loss(model, data[0])))
    found = flat(gradients_of(method, model, batch))
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_a_short_step_is_not_lost_in_bfloat16(tiny, batch):
    model = tiny().bfloat16()
    plain = over(Opposed, SAM, sam_rho=0.0)
    near = over(Opposed, SAM, sam_rho=1e-3)
    before = models.fingerprint(model.state_dict())
    forget = [gradients_of(each, model, batch, by_name=True)["forget"] for each in (near, over(Opposed, SAM))]
    assert any(not torch.equal(*pair) for pair in zip(*forget, strict=True))
    assert flat(gradients_of(plain, model, batch)).isfinite().all()
    assert models.fingerprint(model.state_dict()) == before
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
