"""Marginal information: what forget answers tell beyond retain answers. Inspired by Forgetting-MarI."""

import torch

from harness import Field, Method, MethodConfig, losses

from ._answers import answer_logprobs, places
from ._divergence import js


class MarginalInformation(Method):
    """L = lambda E_{D_f} mean_i JS(pi_i || r_i) + alpha CE(D_r),   r_i = mean over D_r of pi_0(. | x, y_<i).

    i counts an answer's tokens; beyond the longest retain answer r is that of its end. Inspired by
    Forgetting-MarI (2511.11914), whose estimator and weight are not public: this is not that method.
    """

    name = "marginal-information"
    paper = "2511.11914"

    class Config(MethodConfig):
        lambda_: float = Field(1.0, ge=0, alias="lambda", description="weight of the marginal information")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    @torch.no_grad()
    def prepare(self, job):
        """Average pi_0 over the retain answers that have an i-th token: log r (K, V)."""
        data = job.encode(job.retain)
        self.last, total, count = max(len(a) for _, a in data) - 1, torch.zeros(()), torch.zeros(())
        for texts in job.runs(data):
            pi, i = self.tokens(job.model, texts)
            at = torch.nn.functional.one_hot(i, self.last + 1).to(pi)
            total, count = total + at.T @ pi.exp(), count + at.sum(dim=0)[:, None]
        self.log_r = (total / count).log()

    def tokens(self, model, texts):
        """log pi (n, V) and i (n,) of all answer tokens of a batch."""
        logits, labels = losses.answer_logits(model, texts)
        return answer_logprobs(logits, labels), places(labels).clamp(max=self.last)

    def loss(self, model, batch):
        """lambda JS(pi || r) on forget answers plus alpha CE(D_r)."""
        pi, i = self.tokens(model, batch.forget)
        yield "forget", self.config.lambda_ * js(pi, self.log_r[i]).sum() / batch.forget.step_tokens
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
