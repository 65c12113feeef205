"""KLUE: knowledge-localised unlearning."""

import torch

from harness import Field, HarnessError, answer_tokens, losses, neurons

from .gd import GradientDifference


class KLUE(GradientDifference):
    """Gradient difference on the neurons that hold the facts, for facts that are not forgotten yet.

    score = A(x, y) - alpha_n mean_{y'} max(A(x, y'), 0), over N mismatched answers y', mean over facts

    KLUE of FaithUn (2502.19207, EMNLP 2025), section 5: N = 5, alpha_n = 10, the top 10 % of feed-forward
    neurons. Open, and chosen here: A is the influence of Ssiuu's equation, the maximum over the tokens before
    the answer's last; mismatched answers are drawn from the different ones of other forget facts, all of them
    if there are fewer than N; weights into and out of the chosen neurons train; a fact is forgotten when its
    forget metric is at or below the benchmark's threshold, looked at once an epoch.
    """

    name = "klue"
    lora = False
    paper = "2502.19207"

    class Config(GradientDifference.Config):
        n: int = Field(5, ge=1, description="N, mismatched answers per fact")
        contrast: float = Field(
            10.0, ge=0, description="weight of the mismatched answers, alpha in the paper"
        )
        share: float = Field(0.1, gt=0, le=1, description="share of the feed-forward neurons that train")

    def prepare(self, job):
        """Score all feed-forward neurons on the forget set."""
        data = job.encode(job.forget)
        others = mismatched(data, self.config.n, job.random("klue"))
        suspected = self.mean_influence(job, others, positive=True)
        scores = self.mean_influence(job, data) - self.config.contrast * suspected
        self.chosen = neurons.top_share(scores, self.config.share)

    def mean_influence(self, job, data, positive=False):
        """Mean A (L, units) over texts, or that of max(A, 0)."""
        total = torch.zeros(())
        for texts in job.runs(data):
            each = neurons.influence(job.model, texts)
            total = total + (each.clamp(min=0) if positive else each).sum(dim=0).cpu()
        return total / len(data)

    def trainable(self, model):
        """The weights around feed-forward neurons; which entries of them is the optimiser's matter."""
        self.masks = neurons.masks(model, self.chosen.to(next(model.parameters()).device))
        return self.masks

    def optimizer(self, parameters, lr):
        """AdamW that leaves everything but the chosen neurons as it is."""
        optimizer = super().optimizer(parameters, lr)
        neurons.mask_steps(optimizer, self.masks)
        return optimizer

    def new_epoch(self, job, epoch):
        """Find the facts that are not forgotten yet."""
        known = job.remembered(job.forget)
        self.remembered = torch.tensor([fact.id in known for fact in job.forget])
        data = job.encode(job.forget)
        kept = [i for i, fact in enumerate(job.forget) if fact.id in known]
        self.share = answer_tokens(data, kept) / answer_tokens(data)

    def loss(self, model, batch):
        """GD's loss; the forget term is a mean over the facts that are not forgotten yet."""
        nll = losses.nll(model, batch.forget)
        known = self.remembered.to(nll.device)[batch.forget.index]
        # A micro-batch does not know the rest of its step; with the share among all facts, parts add up.
        forget = (nll * known).sum() / (batch.forget.step_tokens * max(self.share, 1e-9))
        yield "forget", -self.config.gamma * forget
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)


def mismatched(data, n, rng):
    """Each prompt with ``n`` answers of other facts that differ from its own.

    Raises HarnessError where all answers are the same.
    """
    answers = list(dict.fromkeys(answer for _, answer in data))
    if len(answers) < 2:
        raise HarnessError("klue sets an answer against different ones, and all forget facts have the same.")
    pairs = []
    for prompt, answer in data:
        different = [other for other in answers if other != answer]
        pairs += [(prompt, other) for other in rng.sample(different, min(n, len(different)))]
    return pairs
