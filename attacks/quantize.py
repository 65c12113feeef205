"""Weight quantisation."""

import torch

from harness import Attack, AttackConfig, Field, models


class Quantize(Attack):
    """Round the weights to 8 or 4 bits; no training. Only the rounded model is scored.

    Unlearning that moves weights by less than a step is rounded away (2410.16454: 8 and 4 bits, to the
    nearest level). Only the weights of the linear maps in the decoder layers are rounded, w -> s round(w/s)
    with s = max|w| / (2^(bits-1) - 1) over an output channel, or over a group of its inputs: that is open.
    Embeddings and output head stay.
    """

    name = "quantize"
    paper = "2410.16454"
    variants = {"bits=8": {"bits": 8}, "bits=4": {"bits": 4}}

    class Config(AttackConfig):
        bits: int = Field(4, ge=2, le=8, description="bits per weight")
        group: int | None = Field(
            None, ge=1, description="inputs that share a scale, such as 64 or 128; None: all of a channel"
        )

    def attack(self, job):
        """Round every matrix, then score."""
        for weight in models.matrices(job.model).values():
            for columns in weight.split(self.config.group or weight.shape[1], dim=1):
                columns.copy_(rounded(columns, self.config.bits))
        job.checkpoint()


def rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Each row of ``weight`` (out, in) on its own symmetric grid of 2^bits - 1 levels."""
    top = 2 ** (bits - 1) - 1
    exact = weight.float().contiguous()
    scale = (exact.abs().amax(dim=1) / top).clamp(min=torch.finfo(torch.float32).tiny)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(exact, scale, zero, 0, -top, top).to(weight.dtype)
