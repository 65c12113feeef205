"""Magnitude pruning."""

from torch.nn.utils.prune import L1Unstructured

from harness import Attack, AttackConfig, Field, models


class Prune(Attack):
    """Set the smallest weights to 0; no training. Only the pruned model is scored.

    A control by magnitude, with no published setting: if a blow that knows nothing of the facts brings them
    back, they were hidden. In each linear map of the decoder layers the same fraction goes; embeddings and
    output head stay.
    """

    name = "prune"
    variants = {"fraction=0.1": {"fraction": 0.1}, "fraction=0.3": {"fraction": 0.3}}

    class Config(AttackConfig):
        fraction: float = Field(0.1, gt=0, lt=1, description="share of each matrix's weights set to 0")

    def attack(self, job):
        """Prune every matrix, then score."""
        pruning = L1Unstructured(self.config.fraction)
        for weight in models.matrices(job.model).values():
            weight.copy_(pruning.prune(weight.contiguous()))
        job.checkpoint()
