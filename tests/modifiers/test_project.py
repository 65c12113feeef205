"""project takes out of the forget gradient what points against the retain gradient."""

from __future__ import annotations

import pytest
import torch
from harness.methods.npo import NPO
from harness.modifiers.project import Project

from harness.errors import HarnessError
from support.composed import Opposed, gradients_of, over
from support.equations import flat, gradients, mean_loss


def both(model, data):
    forget, retain = data
    return flat(gradients(model, -mean_loss(model, forget))), flat(gradients(model, mean_loss(model, retain)))


def started(job, **settings):
    method = over(Opposed, Project, **settings)
    method.prepare(job)
    method.start(job.model)
    return method


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_share_of_the_component_along_the_retain_gradient_is_taken_out(share, model, batch, data, job):
    g_f, g_r = both(model, data)
    expected = g_f - share * (g_f @ g_r) / (g_r @ g_r) * g_r + g_r
    method = started(job, project_share=share, project_when="always")
    found = flat(gradients_of(method, model, batch))
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    assert job.notes["projected"] == 1


def test_it_acts_on_gradients_in_conflict_alone(model, batch, data, job):
    g_f, g_r = both(model, data)
    conflict = bool(g_f @ g_r < 0)
    parts = gradients_of(started(job), model, batch, by_name=True)
    left = flat(parts["forget"])
    assert job.notes["projected"] == conflict
    if conflict:
        assert abs(left @ g_r) <= 1e-9 * g_f.norm() * g_r.norm()
    else:
        torch.testing.assert_close(left, g_f, rtol=1e-6, atol=1e-9)
    assert torch.allclose(flat(parts["retain"]), g_r, rtol=1e-6)


def test_the_same_texts_to_forget_and_retain_cancel(model, batch, job):
    """g_f = -g_r: all of the forget gradient is in conflict, and nothing of it is left."""
    twice = type(batch)(batch.retain, batch.retain)
    parts = gradients_of(started(job), model, twice, by_name=True)
    assert flat(parts["forget"]).norm() <= 1e-9 * flat(parts["retain"]).norm()


def test_a_setting_that_leaves_no_retain_term_is_one_sentence(model, batch, job):
    method = over(NPO, Project, retain="none")
    method.prepare(job)
    method.start(model)
    with pytest.raises(HarnessError, match=r"'npo' gave no term named \"retain\""):
        gradients_of(method, model, batch)
