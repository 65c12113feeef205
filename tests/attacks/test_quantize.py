"""Quantising against naive rounding in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.attacks.quantize import Quantize, rounded

from support.attacks import small

FAMILIES = ["llama", "gpt2", "phi3"]


def naive_rounding(weight, bits, group):
    """Row by row, group by group, weight by weight."""
    exact = weight.double().numpy()
    result = np.empty_like(exact)
    top = 2 ** (bits - 1) - 1
    for i, row in enumerate(exact):
        for start in range(0, len(row), group or len(row)):
            part = row[start : start + (group or len(row))]
            scale = max(abs(value) for value in part) / top
            result[i, start : start + len(part)] = [round(value / scale) * scale for value in part]
    return result


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, None), (4, 8), (3, 5)])
def test_quantised_weights_are_those_of_naive_rounding(family, bits, group, attacked):
    before, after = attacked(family, small(Quantize, bits=bits, group=group))
    for path, weight in after.items():
        np.testing.assert_allclose(
            weight.double(), naive_rounding(before[path], bits, group), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_channel_takes_no_more_values_than_its_bits_allow(family, attacked):
    _, after = attacked(family, small(Quantize, bits=2))
    assert {len(row.unique()) for weight in after.values() for row in weight} <= {1, 2, 3}


def test_the_largest_weight_of_a_channel_stays_and_a_channel_of_zeros_stays_zero():
    weight = torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.7, 0.3]])
    result = rounded(weight, 4)
    assert result[0].tolist() == [0, 0, 0]
    assert result[1, 1].item() == pytest.approx(-0.7)


def test_more_bits_are_closer_and_groups_are_closer_than_channels(attacked):
    def error(**settings):
        before, after = attacked("llama", small(Quantize, **settings))
        return sum(float((after[path] - before[path]).square().sum()) for path in after)

    assert error(bits=8) < error(bits=4, group=4) < error(bits=4) < error(bits=2)


def test_half_precision_weights_keep_their_type(attacked):
    _, after = attacked("llama", small(Quantize, bits=4), dtype=torch.bfloat16)
    assert {weight.dtype for weight in after.values()} == {torch.bfloat16}


def test_what_is_hidden_by_less_than_half_a_step_comes_back(hiding):
    """The reason the attack exists: small changes are rounded away."""

    def on_the_grid(weight):
        weight.copy_(rounded(weight, 4))

    def nudge(weight):
        top = weight.abs().amax(dim=1, keepdim=True)
        sign = torch.where(torch.arange(weight.shape[1]) % 2 == 0, 1.0, -1.0)
        weight.add_(torch.where(weight.abs() == top, torch.zeros(()), 0.4 * top / 7 * sign))

    hidden, attacked = hiding(on_the_grid, nudge, small(Quantize, bits=4))
    assert abs(hidden).max() > 0.1
    assert abs(attacked).max() < 1e-3
