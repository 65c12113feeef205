"""Relearning from what was to be kept, and far beyond the step that it takes."""

import torch

from harness import Attack, Field, FinetuneConfig, losses, models


class Overshoot(Attack):
    """Fine-tune on the retained facts, then go several times as far: theta + k (theta' - theta).

    theta is the unlearned model and theta' the fine-tuned one. Unlearning pushed the weights away from where
    ordinary training leads; a little of that training shows the way back, and extrapolation goes it. Linear
    extrapolation along a fine-tuning step is weight arithmetic as of task vectors (2212.04089); as an attack
    it has no published setting. The factors k of 1 (the fine-tuned model itself) to 8 are ours.
    """

    name = "overshoot"
    shards = True
    reads = frozenset({"retain"})
    rates = (1e-5,)

    class Config(FinetuneConfig):
        factors: tuple[float, ...] = Field(
            (1.0, 2.0, 4.0, 8.0), min_length=1, description="multiples of the step that are scored"
        )

    def attack(self, job):
        """Fine-tune on all retained facts; at each checkpoint score every multiple of the way so far."""
        retained = job.data["retain"]
        job.notes["n_injected"] = len(retained)

        def look(step, rate):
            tuned = models.snapshot(job.model)
            for factor in self.config.factors:
                extrapolate(job.model, job.weights, tuned, factor)
                job.checkpoint(step, rate)
            models.restore(job.model, tuned)

        job.finetune(retained, look=look)


@torch.no_grad()
def extrapolate(model, begin, end, factor):
    """Set the model's weights to begin + factor (end - begin), computed in float32 or better."""
    for name, tensor in model.state_dict().items():
        first, last = losses.full_precision(begin[name]), losses.full_precision(end[name])
        tensor.copy_(first + factor * (last - first))
