"""Marginal information: what forget answers tell beyond retain answers. Inspired by Forgetting-MarI."""

import torch

from harness import IGNORED, Field, Method, MethodConfig, losses

from .jensun import js


class MarginalInformation(Method):
    """Make forget answers tell no more than that they might be any retain answer.

    L = lambda E_{D_f} mean_i JS(pi_i || r_i) + alpha CE(D_r),   r_i = mean over D_r of pi_0(. | x, y_<i)

    The divergence is the mutual information between the next token and a fair coin that says whether it was
    drawn from pi_i or from r, so it is at most log 2. i counts the answer's tokens; where no retain answer is
    as long, r of the last place is taken.

    Inspired by Forgetting-MarI (2511.11914), whose estimator and weight are not public: this is not that
    method.
    """

    name = "marginal-information"
    paper = "2511.11914"

    class Config(MethodConfig):
        lambda_: float = Field(1.0, ge=0, alias="lambda", description="weight of the marginal information")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")
        places: int = Field(16, ge=1, description="places of an answer that have an r of their own")

    @torch.no_grad()
    def prepare(self, job):
        """Average pi_0 over retain answers at each place: log r (places, V)."""
        total, count = torch.zeros(()), torch.zeros(())
        for texts in job.runs(job.encode(job.retain)):
            logits, labels = losses.answer_logits(job.model, texts)
            answer, place = self.places(labels)
            pi = losses.full_precision(logits[answer]).softmax(dim=-1)
            of_place = torch.nn.functional.one_hot(place, self.config.places).to(pi)
            total, count = total + of_place.T @ pi, count + of_place.sum(dim=0)
        last = int(count.count_nonzero())
        self.log_r = (total[:last] / count[:last, None]).log()

    def places(self, labels):
        """Which of (B, K) are answer tokens, and the place of each in its answer, the last for later ones."""
        answer = labels != IGNORED
        return answer, (answer.cumsum(dim=1) - 1)[answer].clamp(max=self.config.places - 1)

    def loss(self, model, batch):
        """lambda JS(pi || r) on forget answers plus alpha CE(D_r)."""
        logits, labels = losses.answer_logits(model, batch.forget)
        answer, place = self.places(labels)
        log_r = self.log_r[place.clamp(max=len(self.log_r) - 1)]
        told = js(losses.full_precision(logits[answer]).log_softmax(dim=-1), log_r)
        yield "forget", self.config.lambda_ * told.sum() / batch.forget.step_tokens
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
