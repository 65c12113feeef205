"""Weights between the unlearned and the original model."""

from pathlib import Path

import torch
from harness import Attack, AttackConfig, Field, HarnessError
from transformers import AutoModelForCausalLM


class Interpolate(Attack):
    """Go some of the way back to the original: (1 - s) theta_unlearned + s theta_original, for each share s.

    A probe, and no threat: who holds the original has nothing to attack. It asks how deep the knowledge lies. If
    a tenth of the way brings it back, the method moved the weights just over an edge; the curve over s is kept
    (its step is s in per cent). Linear paths between fine-tuned models are those of 2203.05482 and 2212.04089;
    the shares are ours, and none goes more than half way. The original is read from where the model was loaded,
    and takes its memory a second time.
    """

    name = "interpolate"

    class Config(AttackConfig):
        shares: tuple[float, ...] = Field(
            (0.1, 0.25, 0.5), min_length=1, description="parts of the way back that are scored, below 1"
        )

    @torch.no_grad()
    def attack(self, job):
        """Score the model at each share of the way."""
        if not all(0 < share < 1 for share in self.config.shares):
            raise HarnessError("interpolate.shares: each must be between 0 and 1.")
        place = Path(job.model.name_or_path)
        if not place.is_dir():
            raise HarnessError(f"The original was not loaded from a directory ('{place}').")
        original = AutoModelForCausalLM.from_pretrained(place, dtype=job.model.dtype).state_dict()
        job.checkpoint()
        for share in self.config.shares:
            between = {
                name: torch.lerp(weight, original[name].to(weight), share)
                for name, weight in job.weights.items()
            }
            job.restore(between)
            job.checkpoint(step=round(100 * share))
