"""Weights shaken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.core import config
from harness.core.base import Attack
from harness.core.keys import derive
from harness.model import models

if TYPE_CHECKING:
    from harness.engine.attacking import AttackJob


class Noise(Attack):
    """Add Gaussian noise to the weights; no training. Only the noisy model is scored.

    A control beside `prune`, with no published setting. The noise on each linear map of the decoder layers
    has a fraction of that matrix's own standard deviation; embeddings and output head stay.
    """

    name = "noise"
    variants = {"std=0.05": {"std": 0.05}, "std=0.2": {"std": 0.2}}  # noqa: RUF012

    class Config(config.Config):
        std: float = Field(0.05, gt=0, description="standard deviation, in those of each matrix's weights")

    def attack(self, job: AttackJob) -> None:
        """Shake every matrix, each with random numbers of its own, then score."""
        for path, weight in models.matrices(job.model).items():
            generator = torch.Generator().manual_seed(derive(job.seed, "attack", path))
            noise = torch.randn(weight.shape, generator=generator).to(weight.device)
            weight.add_((self.config.std * weight.float().std() * noise).to(weight.dtype))
        job.checkpoint()
