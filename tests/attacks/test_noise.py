"""Gaussian noise on weights: its size and its seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.attacks.noise import Noise

from support.attacks import small

FAMILIES = ["llama", "gpt2", "phi3"]


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_has_the_fraction_of_each_matrix_s_own_deviation(family, attacked):
    before, after = attacked(family, small(Noise, std=0.3))
    shares = []
    for path, weight in after.items():
        noise = (weight - before[path]).double().numpy().ravel()
        spread = before[path].double().numpy().std(ddof=1)
        shares.append((noise / spread, noise.size))
        # The deviation of a sample of n normal numbers is itself off by 1/sqrt(2n).
        assert noise.std() / spread == pytest.approx(0.3, rel=5 / np.sqrt(2 * noise.size))
    pooled = np.concatenate([share for share, _ in shares])
    assert pooled.mean() == pytest.approx(0, abs=0.3 * 5 / np.sqrt(pooled.size))
    assert np.mean(abs(pooled) < 0.3) == pytest.approx(0.6827, abs=0.05)


def test_noise_is_drawn_by_seed_and_apart_for_every_matrix(attacked):
    def noise(seed):
        before, after = attacked("llama", small(Noise, std=1.0), seed)
        return {path: (after[path] - before[path]) / before[path].std() for path in after}

    first, again, other = noise(0), noise(0), noise(1)
    same = "0.self_attn.q_proj", "1.self_attn.q_proj"
    assert torch.equal(first[same[0]], again[same[0]])
    assert not torch.allclose(first[same[0]], other[same[0]], atol=0.1)
    assert not torch.allclose(first[same[0]], first[same[1]], atol=0.1)
