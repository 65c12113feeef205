"""Gaussian weight noise."""

import torch

from harness import Attack, AttackConfig, Field, models


class Noise(Attack):
    """Add Gaussian noise to the weights; no training. Only the noisy model is scored.

    A control beside `prune`, with no published setting. The noise on each linear map of the decoder layers
    has a fraction of that matrix's own standard deviation; embeddings and output head stay.
    """

    name = "noise"
    variants = {"std=0.05": {"std": 0.05}, "std=0.2": {"std": 0.2}}

    class Config(AttackConfig):
        std: float = Field(0.05, gt=0, description="standard deviation, in those of each matrix's weights")

    def attack(self, job):
        """Add noise to every matrix, each from random numbers of its own, then score."""
        for path, weight in models.matrices(job.model).items():
            noise = torch.randn(weight.shape, generator=job.generator(path)).to(weight.device)
            weight.add_((self.config.std * weight.float().std() * noise).to(weight.dtype))
        job.checkpoint()
