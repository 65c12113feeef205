"""Pruning against naive arithmetic in float64."""

from __future__ import annotations

import numpy as np
import pytest
from harness.attacks.prune import Prune

from support.attacks import small

FAMILIES = ["llama", "gpt2", "phi3"]


def test_what_is_hidden_in_small_weights_comes_back(hiding):
    """A model that uses seven tenths of its weights, unlearned by the others."""

    def sparse(weight):
        least = weight.abs().flatten().sort().values[round(0.3 * weight.numel()) - 1]
        weight[weight.abs() <= least] = 0.0

    def fill(weight):
        weight[weight == 0] = 0.9 * weight[weight != 0].abs().min()

    hidden, attacked = hiding(sparse, fill, small(Prune, fraction=0.3))
    assert abs(hidden).max() > 0.1
    assert abs(attacked).max() < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.75])
def test_the_smallest_weights_of_each_matrix_are_set_to_zero_and_the_others_stay(family, fraction, attacked):
    before, after = attacked(family, small(Prune, fraction=fraction))
    for path, weight in after.items():
        exact = before[path].double().numpy()
        gone = round(fraction * exact.size)
        threshold = sorted(abs(exact).flatten())[gone]
        assert (weight.numpy() == np.where(abs(exact) < threshold, 0.0, exact)).all()
        assert int((weight == 0).sum()) == gone
