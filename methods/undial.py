"""UNDIAL: self-distillation with adjusted logits."""

from harness import IGNORED, Field, Method, MethodConfig, losses


class UNDIAL(Method):
    """Distil the original into itself, with the logits of the true tokens lowered.

    L = gamma E_{D_f} mean_i H(softmax(z_{0,i} - beta onehot(y_i)), pi_i) + alpha CE(D_r)

    UNDIAL (2402.10052, NAACL 2025). z_0 are the logits of pi_0 and H is the cross-entropy over the
    vocabulary, so the loss has a minimum, at the lowered pi_0. beta = 10, gamma = 1 and alpha = 0 in
    OpenUnlearning, which averages over the prompt's tokens as well; here only answer tokens count. With
    beta = 0 it is KL(pi_0 || pi) on the forget set, and a constant.
    """

    name = "undial"
    paper = "2402.10052"

    class Config(MethodConfig):
        beta: float = Field(10.0, ge=0, description="by how much the true token's logit is lowered, nats")
        gamma: float = Field(1.0, ge=0, description="weight of the forget loss")
        alpha: float = Field(0.0, ge=0, description="weight of the retain loss; the paper has none")

    def prepare(self, job):
        """Keep the weights of pi_0."""
        self.original = job.original

    def loss(self, model, batch):
        """Cross-entropy against the lowered pi_0, plus alpha CE(D_r)."""
        logits, labels = losses.answer_logits(model, batch.forget)
        answer = labels != IGNORED
        before = losses.reference_logits(model, self.original, batch.forget)
        lowered = losses.full_precision(before[answer])
        lowered[range(len(lowered)), labels[answer]] -= self.config.beta
        student = losses.full_precision(logits[answer]).log_softmax(dim=-1)
        distilled = -(lowered.softmax(dim=-1) * student).sum()
        yield "forget", self.config.gamma * distilled / batch.forget.step_tokens
        if self.config.alpha:
            yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
