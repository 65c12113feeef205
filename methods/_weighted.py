"""Gradient ascent that weighs each answer token."""

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
