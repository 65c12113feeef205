"""BS-T: bootstrapping on the model's token beliefs."""

from harness import IGNORED, Field, Method, MethodConfig, losses


class BST(Method):
    """Gradient ascent on the true answer and on what the model believes instead of it.

    L = E_{D_f} mean_i <t_i, log pi(.|x, y_<i)> + alpha CE(D_r),   t_i = lambda q + (1 - lambda) onehot(y_i)

    BS-T of 2510.19422 (ICLR 2026); q is pi restricted to its k likeliest tokens, renormalised, held constant.
    lambda = 0 is exactly GD. Open: the paper sums over tokens, its code averages; here the mean, as in GD.
    """

    name = "bst"
    paper = "2510.19422"

    class Config(MethodConfig):
        lambda_: float = Field(0.2, ge=0, le=1, alias="lambda", description="share of the model's belief")
        k: int = Field(20, ge=1, description="tokens in a belief")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def loss(self, model, batch):
        """Ascent on the soft-label cross-entropy plus alpha CE(D_r)."""
        yield "forget", belief_loss(model, batch.forget, self.config.lambda_, self.config.k)
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)


def belief_loss(model, texts, belief, k):
    """sum_i <t_i, log pi(.|x, y_<i)> over answer tokens, divided by their number in the step.

    t_i = lambda q + (1 - lambda) onehot(y_i), q the model's own top-k distribution, renormalised and held
    constant. For ``belief`` (lambda) 0 it is -CE, bit for bit.
    """
    logits, labels = losses.answer_logits(model, texts)
    hard = -losses.nll_of(logits, labels).sum() / texts.step_tokens
    if belief == 0:
        return hard
    logprobs = losses.full_precision(logits[labels != IGNORED]).log_softmax(dim=-1)
    top = logprobs.detach().topk(min(k, logprobs.shape[-1]), dim=-1)
    q = top.values.softmax(dim=-1)
    soft = (q * logprobs.gather(-1, top.indices)).sum() / texts.step_tokens
    return (1 - belief) * hard + belief * soft
