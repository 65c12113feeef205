"""RMU moves the hidden states of forget texts, and trains the maps it should."""

from __future__ import annotations

import copy

import pytest
import torch
from harness.methods.rmu import RMU

from harness.engine.unlearning import unlearn
from harness.model import models
from harness.model.models import blocks, restored
from harness.model.neurons import feed_forwards, hidden
from support.equations import differing, loss_of, prepared, run
from support.families import LINEAR
from support.localised import assert_same_gradient, settings

N = 4


@pytest.fixture
def deep(tiny, job):
    """The job with a model of four layers; RMU of depth 0.5 looks at layer 2 of it."""
    job.subject.model = tiny(num_hidden_layers=4).double()
    return job


def states(model, example, layer):
    """h_l of one text (tokens, d), from the full model."""
    ids = torch.tensor([[*example[0], *example[1]]])
    return model(ids, output_hidden_states=True).hidden_states[layer + 1][0]


def mean_square(difference):
    return (difference**2).mean()


@pytest.mark.parametrize(("strength", "alpha"), [(5.0, 20.0), (1.0, 0.0), (0.5, 3.0)])
def test_rmu_is_its_equation(strength, alpha, deep, batch, data):
    method = prepared(RMU(RMU.Config(depth=0.5, strength=strength, alpha=alpha)), deep)
    original = copy.deepcopy(deep.model)
    with torch.no_grad():
        for i, parameter in enumerate(method.trained):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            parameter.add_(0.05 * noise)
    expected = 0.0
    for example in data[0]:
        expected = expected + mean_square(states(deep.model, example, 2) - method.target) / N
    for example in data[1]:
        before = states(original, example, 2).detach()
        expected = expected + alpha * mean_square(states(deep.model, example, 2) - before) / N
    assert_same_gradient(method.trained, loss_of(method, deep.model, batch), expected)


def test_the_target_of_rmu_is_a_scaled_direction_without_negative_parts(deep, data):
    method = prepared(RMU(RMU.Config(depth=0.5, strength=3.0)), deep)
    lengths = torch.cat([states(deep.model, example, 2).norm(dim=-1) for example in data[0]])
    c = 3.0 * lengths.median().item()
    assert deep.notes["layer"] == 2
    assert deep.notes["typical_length"] == pytest.approx(c / 3.0)
    assert deep.notes["c"] == pytest.approx(c)
    u = method.target / deep.notes["c"]
    assert u.norm().item() == pytest.approx(1.0)
    assert (u >= 0).all()
    assert len(set(u.tolist())) == 16
    assert method.target.norm().item() == pytest.approx(c)


def test_the_direction_of_rmu_depends_on_the_seed_alone(deep):
    targets = []
    for seed in (0, 0, 1):
        deep.seed = seed
        torch.manual_seed(seed + 17)
        targets.append(prepared(RMU(), deep).target)
    assert torch.equal(targets[0], targets[1])
    assert not torch.equal(targets[0], targets[2])


@pytest.mark.parametrize(
    ("layers", "depth", "layer"),
    [
        (1, 7 / 32, 0),
        (2, 7 / 32, 1),
        (3, 7 / 32, 2),
        (4, 0.0, 2),
        (4, 0.75, 3),
        (8, 0.99, 7),
        (32, 7 / 32, 7),
    ],
)
def test_rmu_trains_the_last_feed_forward_maps_of_three_layers(layers, depth, layer, tiny, job):
    model = job.subject.model = tiny(num_hidden_layers=layers)
    method = prepared(RMU(RMU.Config(depth=depth)), job)
    assert method.layer == layer
    every = [part.out.weight for part in feed_forwards(model)]
    found = list(method.trainable(model))
    assert [id(p) for p in found] == [id(p) for p in every[max(0, layer - 2) : layer + 1]]


@pytest.mark.parametrize("family", LINEAR)
def test_rmu_changes_nothing_else(family, tiny, make_subject, toy_benchmark):
    model = tiny(family, num_hidden_layers=5)
    before = models.snapshot(model)
    method = RMU(settings(RMU, epochs=1, batch_size=6, depth=0.6))
    after = run(method, make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    names = {parameter: name for name, parameter in model.named_parameters()}
    outs = [names[part.out.weight] for part in feed_forwards(model)]
    assert set(differing(before, after)) == set(outs[1:4])


def test_nothing_above_the_layer_of_rmu_runs(deep, batch):
    method = prepared(RMU(RMU.Config(depth=0.5)), deep)
    ran = []
    for i, block in enumerate(blocks(deep.model)):
        block.register_forward_pre_hook(lambda module, args, i=i: ran.append(i))
    deep.model.lm_head.register_forward_pre_hook(lambda module, args: ran.append("head"))
    loss_of(method, deep.model, batch).backward()
    assert ran == [0, 1, 2] * 3  # retain before, forget, retain


def test_the_retain_term_of_rmu_is_nothing_at_the_start(deep, batch):
    method = prepared(RMU(RMU.Config(depth=0.5, alpha=0.0)), deep)
    without = loss_of(method, deep.model, batch)
    method.config = RMU.Config(depth=0.5, alpha=1e9)
    assert torch.equal(loss_of(method, deep.model, batch), without)


def test_rmu_remembers_the_hidden_states_of_the_original(deep, batch):
    original = copy.deepcopy(deep.model)
    method = RMU(settings(RMU, epochs=4, batch_size=2, depth=0.5, rate=1e-2))
    unlearn(deep.subject, method, seed=0)
    now = hidden(deep.model, batch.retain, 2)
    with torch.no_grad(), restored(method.trained, method.old):
        before = hidden(deep.model, batch.retain, 2)
    assert torch.equal(before, hidden(original, batch.retain, 2))
    assert not torch.allclose(now, before, atol=1e-3)
    assert torch.equal(now, hidden(deep.model, batch.retain, 2))


def test_an_error_in_rmu_does_not_leave_the_old_weights_behind(deep, batch):
    method = prepared(RMU(RMU.Config(depth=0.5)), deep)
    with torch.no_grad():
        for parameter in method.trained:
            parameter.add_(1.0)
    now = models.snapshot(deep.model)

    def fail(*args):
        raise ZeroDivisionError

    handle = blocks(deep.model)[1].register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError):
        loss_of(method, deep.model, batch)
    handle.remove()
    assert differing(now, models.snapshot(deep.model)) == []


def test_rmu_moves_forget_texts_and_holds_retain_texts(deep, batch):
    original = copy.deepcopy(deep.model)
    method = RMU(settings(RMU, epochs=30, batch_size=4, depth=0.5, strength=5.0, rate=3e-3, alpha=20.0))
    unlearn(deep.subject, method, seed=0)

    def far(model, texts, target):
        return ((hidden(model, texts, 2) - target)[texts.attention_mask.bool()] ** 2).mean().item()

    held = hidden(original, batch.retain, 2)
    closer = far(deep.model, batch.forget, method.target) / far(original, batch.forget, method.target)
    assert closer < 0.9
    moved_by = far(deep.model, batch.forget, hidden(original, batch.forget, 2))
    assert far(deep.model, batch.retain, held) < 0.9 * moved_by
