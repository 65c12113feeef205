"""Weights left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch.nn.utils.prune import L1Unstructured

from harness.core import config
from harness.core.base import Attack
from harness.model import models

if TYPE_CHECKING:
    from harness.engine.attacking import AttackJob


class Prune(Attack):
    """Set the smallest weights to 0; no training. Only the pruned model is scored.

    A control by magnitude, with no published setting: if a blow that knows nothing of the facts brings them
    back, they were hidden. In each linear map of the decoder layers the same fraction goes; embeddings and
    output head stay.
    """

    name = "prune"
    variants = {"fraction=0.1": {"fraction": 0.1}, "fraction=0.3": {"fraction": 0.3}}  # noqa: RUF012

    class Config(config.Config):
        fraction: float = Field(0.1, gt=0, lt=1, description="share of each matrix's weights set to 0")

    def attack(self, job: AttackJob) -> None:
        """Prune every matrix, then score."""
        pruning = L1Unstructured(self.config.fraction)
        for weight in models.matrices(job.model).values():
            weight.copy_(pruning.prune(weight.contiguous()))
        job.checkpoint()
