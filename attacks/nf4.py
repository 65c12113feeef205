"""Weights in NF4, the four-bit format in which models are commonly run."""

import torch
import torch.nn.functional as F

from harness import Attack, AttackConfig, Field, models


class NormalFloat(Attack):
    """Store the weights in NF4 and read them again; no training. Only what was read is scored.

    NF4 of QLoRA (2305.14314): of every 64 weights in a row the largest absolute value is kept, and each
    becomes the nearest of 16 values times it, quantiles of the normal distribution. `double` keeps those
    scales in 8 bits, too. `quantize` rounds to even steps instead, with one scale for a whole channel. Only
    the weights of the linear maps in the decoder layers are stored so; embeddings and output head stay.
    """

    name = "nf4"
    paper = "2305.14314"

    class Config(AttackConfig):
        block: int = Field(64, ge=2, description="weights that share a scale")
        double: bool = Field(False, description="double quantisation: scales in 8 bits, 256 to a scale")

    def attack(self, job):
        """Store and read every matrix, then score."""
        for weight in models.matrices(job.model).values():
            scales_of = double_quantised if self.config.double else torch.clone
            read = stored(weight.float(), normal_float(), self.config.block, scales_of)
            weight.copy_(read.to(weight.dtype))
        job.checkpoint()


def normal_float():
    """The 16 values of NF4 from -1 to 1, ascending: 0, and quantiles of the normal distribution.

    Quantiles are at even steps of probability from 1/2 to 1 - (1/30 + 1/32)/2, eight above 0 and seven below,
    and divided by the largest (QLoRA, section 3 and appendix E).
    """
    outermost = 1 - (1 / 30 + 1 / 32) / 2
    above, below = (
        torch.special.ndtri(torch.linspace(0.5, outermost, count + 1, dtype=torch.float64)[1:])
        for count in (8, 7)
    )
    return torch.cat([-below.flip(0), torch.zeros(1), above]).div(above[-1]).float()


def dynamic_8bit():
    """The 256 values of the 8-bit format of scales, ascending: in each decade twice as many as in that below.

    Dynamic tree quantisation (2110.02861): 2^i values in the middle of even steps from 10^(i-7) to 10^(i-6),
    for i from 0 to 6, of both signs; 0 and 1.
    """
    edges = [torch.linspace(0.1, 1, 2**i + 1) * 10.0 ** (i - 6) for i in range(7)]
    middles = torch.cat([(edge[1:] + edge[:-1]) / 2 for edge in edges])
    return torch.cat([-middles, middles, torch.tensor([0.0, 1.0])]).sort().values


def stored(values, levels, block, scales_of):
    """``values`` as they are read again: each block's nearest ``levels`` times its scale, max |value|."""
    flat = values.flatten()
    blocks = F.pad(flat, (0, -len(flat) % block)).view(-1, block)
    largest = blocks.abs().amax(dim=1)
    shares = blocks / largest.clamp(min=torch.finfo(largest.dtype).tiny)[:, None]
    levels = levels.to(flat.device)
    nearest = levels[torch.bucketize(shares, (levels[1:] + levels[:-1]) / 2)]
    return (nearest * scales_of(largest)[:, None]).flatten()[: len(flat)].view_as(values)


def double_quantised(scales):
    """Scales in 8 bits as they are read again: their distance from their mean, 256 to a scale of its own."""
    return stored(scales - scales.mean(), dynamic_8bit(), 256, torch.clone) + scales.mean()
