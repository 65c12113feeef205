"""Weighted gradient ascent."""

from harness import IGNORED, Field, Method, MethodConfig, losses


class WeightedGradientAscent(Method):
    """Weighted gradient ascent: each forget token counts by how well the model still knows it.

    L = gamma mean_t [p_t^alpha log p_t] + retain CE(D_r),   p_t = pi(y_t | x, y_<t), without gradient in p_t^alpha

    WGA (2502.19301, ICLR 2025). The gradient of log p is large where p is small, so plain ascent
    spends itself on what is forgotten already; the weight takes that inverse confidence back. With alpha = 0 it
    is gradient difference. alpha is tuned in the paper, and 1 here; the retain term is that of `gd`.
    """

    name = "weighted-ascent"
    paper = "2502.19301"

    class Config(MethodConfig):
        alpha: float = Field(1.0, ge=0, description="exponent of the confidence; 0 is plain ascent")
        gamma: float = Field(1.0, ge=0, description="weight of the forget loss")
        retain: float = Field(1.0, ge=0, description="weight of the retain loss")

    def loss(self, model, batch):
        """The weighted ascent on the forget texts, then the retain term."""
        yield "forget", self.config.gamma * weighted_ascent(model, batch.forget, self.config.alpha)
        yield "retain", self.config.retain * losses.cross_entropy(model, batch.retain)


def weighted_ascent(model, texts, alpha):
    """Mean of p_t^alpha log p_t over the answer tokens of the optimisation step; a scalar, at most 0."""
    logits, labels = losses.answer_logits(model, texts)
    chosen = labels != IGNORED
    logprobs = losses.full_precision(logits[chosen]).log_softmax(dim=-1)
    answers = logprobs.gather(1, labels[chosen][:, None])[:, 0]
    return ((alpha * answers.detach()).exp() * answers).sum() / texts.step_tokens
