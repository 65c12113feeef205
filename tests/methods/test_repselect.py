"""RepSelect steps along one gradient, relearnt first and without its main directions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from harness.methods.repselect import RepSelect

from harness.model import models
from harness.model.neurons import feed_forwards
from support.equations import differing, mean_loss, prepared, run, settings
from support.families import LINEAR


def exact(gradient, collapse, components=1 / 8):
    """C_U(C_V(G)) by the whole singular value decomposition, one direction at a time."""
    u, s, vt = torch.linalg.svd(gradient.double(), full_matrices=False)
    q = max(1, round(components * len(s)))
    v_side = gradient.double()
    for k in range(q):
        share = 1 - (s[q - 1] / s[k] if collapse == "soft" else 0.0)
        v_side = v_side - share * torch.outer(gradient.double() @ vt[k], vt[k])
    u_side = v_side
    for k in range(q):
        share = 1 - (s[q - 1] / s[k] if collapse == "soft" else 0.0)
        u_side = u_side - share * torch.outer(u[:, k], u[:, k] @ v_side)
    return u_side


def method_of(**given):
    return RepSelect(RepSelect.Config(**({"batch_size": 4} | given)))


@pytest.mark.parametrize("collapse", ["soft", "hard"])
def test_without_an_adapter_it_is_the_collapsed_gradient_of_ascent(collapse, job):
    method = prepared(method_of(elicit_r=0, collapse=collapse, components=1 / 4), job)
    data = job.subject.encode(job.forget)
    loss = sum(mean_loss(job.model, data[i : i + 4]) for i in range(0, len(data), 4))
    plain = torch.autograd.grad(-loss, method.trained)
    assert len(plain) == 6  # gate, up and down of two layers
    for found, gradient in zip(method.directions, plain, strict=True):
        expected = exact(gradient, collapse, 1 / 4)
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)
        assert (expected - gradient).norm() > 0.1 * gradient.norm()


@pytest.mark.parametrize("micro", [None, 3])
def test_the_gradient_is_taken_where_an_adapter_has_relearnt_the_facts(micro, job):
    """Written out with the product A B added to the weights, and not by hooks."""
    job.subject.micro_batch = micro
    method = prepared(method_of(elicit_r=2, elicit_rate=0.5, components=1.0), job)
    data, weights = job.subject.encode(job.forget), method.trained
    batches = [data[i : i + 4] for i in range(0, len(data), 4)]
    draw = job.generator("repselect", "adapter")
    a = [(2 * torch.rand(w.shape[1], 2, generator=draw) - 1).double() / w.shape[1] ** 0.5 for w in weights]
    b = [torch.zeros(2, w.shape[0]).double() for w in weights]
    plain = [weight.detach().clone() for weight in weights]

    def gradient(batch):
        with models.restored(weights, [w + (x @ y).T for w, x, y in zip(plain, a, b, strict=True)]):
            return torch.autograd.grad(mean_loss(job.model, batch), weights)

    for batch in batches:
        each = gradient(batch)
        steps = [(g.T @ y.T, x.T @ g.T) for g, x, y in zip(each, a, b, strict=True)]
        a = [x - 0.5 * step for x, (step, _) in zip(a, steps, strict=True)]
        b = [y - 0.5 * step for y, (_, step) in zip(b, steps, strict=True)]
    total = [-sum(each) for each in zip(*map(gradient, batches), strict=True)]
    for found, g in zip(method.directions, total, strict=True):
        torch.testing.assert_close(found, exact(g, "soft", 1.0), atol=1e-8, rtol=1e-5)
    assert all(torch.equal(weight, before) for weight, before in zip(weights, plain, strict=True))


def test_the_main_direction_is_the_weakest_left():
    gradient = torch.diag(torch.tensor([100.0, 10.0, 1.0, 0.5])).double()
    soft, hard = (
        method_of(components=0.5, collapse=collapse).collapsed(gradient).diagonal()
        for collapse in ("soft", "hard")
    )
    torch.testing.assert_close(soft, torch.tensor([1.0, 10.0, 1.0, 0.5]).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(hard, torch.tensor([0.0, 0.0, 1.0, 0.5]).double(), atol=1e-9, rtol=0)


def test_every_step_is_the_same(job):
    method = prepared(method_of(), job)
    batch = SimpleNamespace(forget=[0, 1])
    batch.forget = type("Texts", (list,), {"step_items": 4})([0, 1])
    found = []
    for _ in range(2):
        [(name, term)] = method.loss(job.model, batch)
        found.append(torch.autograd.grad(term, method.trained))
        with torch.no_grad():
            method.trained[0].add_(1.0)
    assert name == "forget"
    for first, second, direction in zip(*found, method.directions, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, direction / 2)


@pytest.mark.parametrize("family", LINEAR)
def test_only_feed_forward_maps_change(family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    after = run(RepSelect(settings(RepSelect, epochs=1, batch_size=6)), make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    names = {parameter: name for name, parameter in model.named_parameters()}
    parts = feed_forwards(model)
    assert set(differing(before, after)) == {
        names[module.weight] for part in parts for module in (*part.into, part.out)
    }
