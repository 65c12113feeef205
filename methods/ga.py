"""Gradient ascent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from harness.core.base import Method
from harness.model.losses import cross_entropy

if TYPE_CHECKING:
    from harness.core.batch import Batch


class GradientAscent(Method):
    """Gradient ascent on the forget set: L = -CE(D_f).

    Jang et al. 2022 (2210.01504), section 3; TOFU (2401.06121), section 3.3. Nothing holds the rest of the
    model in place.
    """

    name = "ga"
    paper = "2210.01504"

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """L = -CE(D_f), averaged over answer tokens."""
        return -cross_entropy(model, batch.forget)
