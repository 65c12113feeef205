"""A model of any family is taken apart and put back, and its weights have a fingerprint."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.errors import ModelError
from harness.model.loading import load
from harness.model.models import blocks, linear_modules, restore, snapshot, weights_fingerprint
from support.families import LINEAR


@pytest.mark.parametrize("family", LINEAR)
def test_the_linear_maps_hold_every_matrix_of_a_layer(family, saved):
    model, _ = load(saved(family))
    for block in blocks(model):
        matrices = {id(p) for p in block.parameters() if p.dim() == 2}
        assert {id(module.weight) for module in linear_modules(block).values()} == matrices


def test_restore_puts_every_weight_back_and_drops_gradients(tiny):
    model = tiny()
    before = weights_fingerprint(model)
    kept = snapshot(model)
    model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert weights_fingerprint(model) != before
    restore(model, kept)
    assert weights_fingerprint(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_snapshot_does_not_follow_the_model(tiny):
    model = tiny()
    kept = snapshot(model)
    name, parameter = next(iter(model.named_parameters()))
    with torch.no_grad():
        parameter.zero_()
    assert kept[name].abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fingerprint_of_weights_sees_a_single_bit(tiny, dtype):
    model = tiny().to(dtype)
    before = weights_fingerprint(model)
    bits = model.model.layers[1].mlp.up_proj.weight.data.view(torch.uint8)
    bits[0, 0] ^= 1
    assert weights_fingerprint(model) != before
    bits[0, 0] ^= 1
    assert weights_fingerprint(model) == before


def test_the_fingerprint_of_weights_depends_on_type_and_name(tiny):
    model = tiny()
    half = tiny().to(torch.bfloat16)
    assert weights_fingerprint(half) != weights_fingerprint(half.float()) != weights_fingerprint(model)
    assert weights_fingerprint(nn.Sequential(nn.Linear(2, 2, bias=False))) != weights_fingerprint(
        nn.Linear(2, 2, bias=False)
    )


def test_the_fingerprint_of_weights_takes_scalar_and_empty_buffers():
    module = nn.Linear(2, 2)
    module.register_buffer("nothing", torch.zeros(0))
    module.register_buffer("scale", torch.tensor(1.5))
    before = weights_fingerprint(module)
    module.scale.fill_(2.5)
    assert weights_fingerprint(module) != before


def test_a_model_without_a_list_of_layers_is_named_in_the_error():
    with pytest.raises(ModelError, match="Linear"):
        blocks(nn.Linear(2, 2))
