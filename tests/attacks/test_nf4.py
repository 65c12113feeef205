"""NF4 against its published table, and against naive arithmetic in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.attacks.nf4 import NormalFloat, double_quantised, dynamic_8bit, normal_float, stored
from harness.attacks.quantize import rounded

from support.attacks import small

FAMILIES = ["llama", "gpt2", "phi3"]

TABLE = [
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
]
"""QLoRA (2305.14314), appendix E."""


def naive(weight, levels, block):
    """Block by block along the rows, weight by weight."""
    exact = weight.double().numpy().ravel()
    read = np.empty_like(exact)
    for start in range(0, len(exact), block):
        part = exact[start : start + block]
        scale = max(abs(value) for value in part)
        read[start : start + block] = [scale * min(levels, key=lambda q: abs(v / scale - q)) for v in part]
    return read.reshape(weight.shape)


def test_the_sixteen_values_are_the_published_ones():
    assert normal_float().tolist() == pytest.approx(TABLE, abs=3e-7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("block", [64, 10])
def test_weights_are_read_as_by_naive_arithmetic(family, block, attacked):
    before, after = attacked(family, small(NormalFloat, block=block))
    for path, weight in after.items():
        np.testing.assert_allclose(weight.double(), naive(before[path], TABLE, block), atol=1e-6, rtol=0)


def test_what_was_stored_is_read_the_same_again(attacked):
    before, once = attacked("llama", small(NormalFloat))
    for path, weight in once.items():
        again = stored(weight, normal_float(), 64, torch.clone)
        assert torch.allclose(again, weight, atol=1e-7)
        assert not torch.allclose(weight, before[path], atol=1e-3)


def test_a_block_of_zeros_stays_zero_and_the_largest_of_a_block_stays():
    weight = torch.tensor([[0.0, 0.0], [0.1, -0.7]])
    assert stored(weight, normal_float(), 2, torch.clone)[0].tolist() == [0, 0]
    assert stored(weight, normal_float(), 2, torch.clone)[1, 1] == -weight[1, 1].abs()


def test_the_eight_bits_of_scales_have_more_values_the_smaller_they_are():
    values = dynamic_8bit()
    assert len(values) == 256
    assert values.tolist() == sorted(values.tolist())
    assert (values[-1], float(values[0])) == (1.0, pytest.approx(-0.99296875))
    for decade in range(7):
        high = 10.0 ** (decade - 6)
        assert int(((values > high / 10) & (values < high)).sum()) == 2**decade


def test_scales_in_eight_bits_are_those_of_naive_arithmetic_about_their_mean():
    scales = torch.rand(300, generator=torch.Generator().manual_seed(0)) + 0.5
    mean = float(scales.double().mean())
    expected = naive(scales - mean, dynamic_8bit().double().tolist(), 256) + mean
    np.testing.assert_allclose(double_quantised(scales).double(), expected, atol=1e-6)
    assert abs(double_quantised(scales) - scales).max() > 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_double_quantisation_moves_weights_by_little_more(family, attacked):
    before, once = attacked(family, small(NormalFloat))
    _, twice = attacked(family, small(NormalFloat, double=True))

    def error(after):
        return sum(float((after[path] - before[path]).square().sum()) for path in before)

    assert error(once) != error(twice) == pytest.approx(error(once), rel=0.02)


def test_of_normal_weights_it_keeps_more_than_even_steps_of_four_bits():
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))

    def error(read):
        return float((read - weight).square().sum())

    assert error(stored(weight, normal_float(), 64, torch.clone)) < 0.9 * error(rounded(weight, 4))


def test_half_precision_weights_keep_their_type(attacked):
    _, after = attacked("llama", small(NormalFloat, double=True), dtype=torch.bfloat16)
    assert {weight.dtype for weight in after.values()} == {torch.bfloat16}


def test_what_is_hidden_by_less_than_half_a_step_comes_back(hiding):
    def in_the_format(weight):
        weight.copy_(stored(weight, normal_float(), 64, torch.clone))

    def nudge(weight):
        flat = weight.reshape(-1, 16)
        top = flat.abs().amax(dim=1, keepdim=True)
        small_ones = torch.where(flat.abs() < 0.5 * top, 0.03 * top, 0.0)
        weight.copy_((flat + small_ones).view_as(weight))

    hidden, attacked = hiding(in_the_format, nudge, small(NormalFloat))
    assert abs(hidden).max() > 0.1
    assert abs(attacked).max() < 0.1 * abs(hidden).max()
