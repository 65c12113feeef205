"""RMU-LAT is RMU with forget texts perturbed, by what makes the answers likeliest within a length."""

from __future__ import annotations

import copy

import pytest
import torch
from harness.methods.rmu import RMU
from harness.methods.rmu_lat import RMULAT, added

from harness import losses
from harness.model import models
from harness.model.models import blocks
from harness.model.neurons import feed_forwards
from support.equations import differing, loss_of, moved, prepared, run
from support.families import LINEAR
from support.localised import assert_same_gradient, settings

N = 4
QUICK = {"depth": 0.5, "pgd_steps": 3}


@pytest.fixture
def deep(tiny, job):
    """The job with a model of four layers; depth 0.5 looks at layer 2 of it, and perturbs layer 1."""
    job.subject.model = tiny(num_hidden_layers=4).double()
    return job


def ready(job, **given):
    method = prepared(RMULAT(RMULAT.Config(**QUICK, **given)), job)
    method.start(job.model)
    method.new_epoch(job, 0)
    return method


def test_rmu_lat_without_length_has_the_loss_and_gradient_of_rmu(deep, batch):
    method = ready(deep, epsilon=0.0)
    rmu = prepared(RMU(RMU.Config(depth=0.5)), deep)
    now = moved(deep.model)
    models.restore(deep.model, now.state_dict())
    expected = loss_of(rmu, deep.model, batch)
    assert_same_gradient(method.trained, loss_of(method, deep.model, batch), expected)


def test_the_forget_states_are_those_of_a_model_with_the_perturbation_written_in(deep, batch, data):
    """One text at a time, without padding, by the states that transformers gives."""
    method = ready(deep)
    loss = loss_of(method, deep.model, batch)
    place, expected = feed_forwards(deep.model)[1].out, 0.0
    for i, (prompt, answer) in enumerate(data[0]):
        ids = torch.tensor([[*prompt, *answer]])
        delta = method.deltas[i][-ids.shape[1] :]
        hook = place.register_forward_hook(lambda module, args, output, delta=delta: output + delta)
        state = deep.model(ids, output_hidden_states=True).hidden_states[3][0]
        hook.remove()
        expected = expected + ((state - method.target) ** 2).mean() / N
    assert_same_gradient(method.trained, loss, expected)  # the retain term is 0 at the start


def test_the_perturbation_is_as_long_as_allowed_and_brings_the_answers_back(deep, batch):
    method = ready(deep, epsilon=0.5)
    delta = method.attack(deep.model, batch.forget)
    inside = batch.forget.attention_mask.bool()
    assert method.epsilon == pytest.approx(0.5 * deep.notes["typical_length"])
    assert delta.norm(dim=-1).max() <= method.epsilon * (1 + 1e-6)
    assert delta[inside].norm(dim=-1).median() > 0.5 * method.epsilon
    assert not delta[~inside].any()
    with torch.no_grad(), added(method.place, delta):
        after = losses.nll(deep.model, batch.forget)
    assert (after < losses.nll(deep.model, batch.forget)).all()


def test_a_perturbation_serves_its_passes_and_a_new_rate_begins_without_one(deep, batch):
    method = ready(deep, passes=2)
    loss_of(method, deep.model, batch)
    first = dict(method.deltas)
    assert sorted(first) == [0, 1, 2, 3]
    method.new_epoch(deep, 1)
    loss_of(method, deep.model, batch)
    assert all(method.deltas[i] is first[i] for i in first)
    method.new_epoch(deep, 2)
    assert method.deltas == {}
    loss_of(method, deep.model, batch)
    method.new_epoch(deep, 0)
    assert method.deltas == {}


def test_a_perturbation_is_found_again_in_a_batch_of_another_width(deep, batch, data, tokens):
    method = ready(deep)
    whole = loss_of(method, deep.model, batch)
    parts = 0.0
    for rows in ([0, 1, 2], [3]):
        halves = [tokens.collate(texts, rows, N, batch.forget.step_tokens) for texts in data]
        parts = parts + loss_of(method, deep.model, type(batch)(*halves))
    assert_same_gradient(method.trained, parts, whole)


def test_layer_and_place_of_published_models(tiny, job):
    job.subject.model = tiny(num_hidden_layers=32)
    method = prepared(RMULAT(), job)
    parts = feed_forwards(job.model)
    assert method.layer == 8
    assert method.place is parts[7].out
    assert [id(weight) for weight in method.trained] == [id(part.out.weight) for part in parts[6:9]]


def test_an_attack_leaves_no_gradient_and_no_hook(deep, batch):
    method = ready(deep)
    method.attack(deep.model, batch.forget)
    assert all(parameter.grad is None for parameter in deep.model.parameters())
    assert not any(module._forward_hooks for module in deep.model.modules())


@pytest.mark.parametrize("family", LINEAR)
def test_rmu_lat_changes_three_maps_and_nothing_else(family, tiny, make_subject, toy_benchmark):
    model = tiny(family, num_hidden_layers=5)
    before = models.snapshot(copy.deepcopy(model))
    method = RMULAT(settings(RMULAT, epochs=1, batch_size=6, **{**QUICK, "depth": 0.6}))
    after = run(method, make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    names = {parameter: name for name, parameter in model.named_parameters()}
    outs = [names[part.out.weight] for part in feed_forwards(model)]
    assert len(blocks(model)) == 5
    assert set(differing(before, after)) == set(outs[1:4])
