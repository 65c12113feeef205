"""Sampled answers of a model, the same for a seed."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.keys import derive
from ..core.types import Prompt


def uniforms(seed: int, prompt: Prompt, n: int, steps: int) -> Tensor:
    """Random numbers (n, steps) in [0, 1) for the samples of one prompt."""
    generator = torch.Generator().manual_seed(derive(seed, "attack", prompt.text))
    return torch.rand(n, steps, generator=generator, dtype=torch.float64)
