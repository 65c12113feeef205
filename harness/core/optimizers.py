"""The optimiser that methods, attacks and targets share. No heavy import before it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FUSED = 10_000_000
"""Parameters from which on a step goes over all of them in one kernel: the memory's pace is what it costs."""


def adamw(parameters: Sequence[torch.nn.Parameter], lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (1711.05101) with its usual betas, and decoupled weight decay."""
    from torch.optim import AdamW

    parameters = list(parameters)
    large = sum(parameter.numel() for parameter in parameters) >= FUSED
    return AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=large or None)
