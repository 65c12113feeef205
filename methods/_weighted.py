"""Gradient ascent that weighs each answer token."""

import torch
from torch.nn.functional import pad

from harness import losses

from .gd import GradientDifference


class WeightedAscent(GradientDifference):
    """L = gamma E_{D_f} mean_i w_i log pi(y_i | x, y_<i) + alpha CE(D_r), the weights w held constant.

    With all weights 1 it is exactly GD.
    """

    def weights(self, nll, texts):
        """w (B, K) of answer tokens with ``nll`` (B, K), in nats, without graph."""
        raise NotImplementedError

    def loss(self, model, batch):
        """Ascent on the weighted tokens plus alpha CE(D_r)."""
        nll = losses.token_nll(*losses.answer_logits(model, batch.forget))
        weighted = (self.weights(nll.detach(), batch.forget) * nll).sum(dim=1)
        yield "forget", -self.config.gamma * (weighted.sum() / batch.forget.step_tokens)
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)


@torch.no_grad()
def token_nll(job, data):
    """-log pi of each answer token (N, K), 0 where there is none; answers end in the last column."""
    each = [losses.token_nll(*losses.answer_logits(job.model, texts)) for texts in job.runs(data)]
    width = max(nll.shape[1] for nll in each)
    return torch.cat([pad(nll, (width - nll.shape[1], 0)) for nll in each])
