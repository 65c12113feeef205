"""Gradient difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn

from harness.core.base import Method
from harness.core.config import MethodConfig
from harness.model.losses import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.core.batch import Batch


class GradientDifference(Method):
    """Gradient difference: L = -gamma CE(D_f) + alpha CE(D_r).

    TOFU (2401.06121), section 3.3, there "GradDiff"; gamma = alpha = 1.
    """

    name = "gd"
    paper = "2401.06121"

    class Config(MethodConfig):
        gamma: float = Field(1.0, ge=0, description="weight of the forget loss")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def loss(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        """L = -gamma CE(D_f) + alpha CE(D_r)."""
        assert batch.retain is not None
        yield -self.config.gamma * cross_entropy(model, batch.forget)
        yield self.config.alpha * cross_entropy(model, batch.retain)
