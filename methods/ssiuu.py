"""Ssiuu: unlearning that does not let negative influence grow."""

from typing import Literal

import torch

from harness import Field, losses, models, sharding

from .gd import GradientDifference


class Ssiuu(GradientDifference):
    """Gradient difference with an attribution-guided regulariser.

    L = L_GD + lambda sum_{i in I-} (A_{t-1,i} - A_{t,i})^2,   A_i = phi_i g_i,   g_i = dP/dphi_i

    Ssiuu (2509.22263, ICLR 2026), algorithm 1. P is the probability of the true answers, summed over the
    forget batch; I- = {i : A_{t,i} < 0}. First order: g is held constant, so the regulariser adds
    2 lambda (A_t - A_{t-1}) g on I- to the gradient; it is 0 at t = 1. lambda = 0 is exactly GD. Left open by
    the paper and chosen here: AdamW; the anchor A_{t-1} is that of the step before, on its own batch; P is
    summed over the batch. lambda was published for models of 3B parameters and does not carry over, as g
    depends on the model's size. ``ratio`` is the rule that scales: at each step lambda is such that the
    regulariser's gradient is that share of L_GD's, in length. The cell's notes hold the ratio that came out,
    ``regulariser_ratio`` (``regulariser_ratios`` by step), the share of weights at which it is the larger
    term, ``regulariser_share``, and in ``regulariser_lost`` the steps at which it was 0 and no ratio could be
    kept.
    """

    name = "ssiuu"
    shards = True
    lora = False
    paper = "2509.22263"
    buffers = 2  # A of the step before, and g

    class Config(GradientDifference.Config):
        lambda_: float = Field(1e-3, ge=0, alias="lambda", description="regulariser weight (TOFU: 1e-4)")
        anchor: Literal["previous", "original"] = Field(
            "previous",
            description="A_{t-1} of the step before (algorithm 1), or that of the first step",
        )
        influence: Literal["probability", "log-probability"] = Field(
            "probability", description="P as the paper has it, or log P as a re-implementation does"
        )
        batch: Literal["sum", "mean"] = Field(
            "sum", description="P over the forget batch: its sum, or its mean"
        )
        ratio: float | None = Field(
            None, ge=0, description="in place of lambda: length of the regulariser's gradient over L_GD's"
        )

    def prepare(self, job):
        """Keep the notes, for the ratio that comes out."""
        self.notes = job.notes

    def start(self, model):
        """Forget the attributions of an earlier rate."""
        self.anchored, self.gradients, self.ratios, self.shares = [], [], [], []

    def loss(self, model, batch):
        """L_GD; on the way g is taken from the forget half's graph, with one extra backward."""
        nll = losses.nll(model, batch.forget)
        influence = torch.exp(-nll) if self.config.influence == "probability" else -nll
        total = influence.sum() / (batch.forget.step_items if self.config.batch == "mean" else 1)
        gradients = sharding.gradients(total, trained(model), retain_graph=True)
        if not self.gradients:
            self.gradients = gradients
        else:  # a later micro-batch of the same step
            torch._foreach_add_(self.gradients, gradients)
        yield "forget", -self.config.gamma * nll.sum() / batch.forget.step_tokens
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)

    @torch.no_grad()
    def after_backward(self, model):
        """grad_i += 2 lambda (A_{t,i} - A_{t-1,i}) g_i on I-. In place: beside g there is one buffer, A."""
        if not self.anchored:
            self.anchored = [phi * g for phi, g in zip(trained(model), self.gradients, strict=True)]
        else:
            terms = self.gradients
            for i, (phi, g) in enumerate(zip(trained(model), self.gradients, strict=True)):
                a = phi * g
                terms[i] = torch.where(a < 0, a - self.anchored[i], 0).mul_(g)
                if self.config.anchor == "previous":
                    self.anchored[i] = a
            gradients = [phi.grad for phi in trained(model) if phi.grad is not None]
            ours, theirs = models.norm(terms), models.norm(gradients)
            factor = 2 * self.config.lambda_
            if self.config.ratio is not None:
                factor = self.config.ratio * theirs / ours if ours > 0 else 0.0
                if factor > torch.finfo(torch.float32).max:  # its digits are gone, too
                    factor = 0.0
            if theirs > 0:
                self.ratios.append(factor * ours / theirs)
                self.shares.append(ruled(terms, gradients, factor))
                self._note()
            torch._foreach_add_(gradients, terms, alpha=factor)
        self.gradients = []

    def _note(self):
        """How strong the regulariser was at this rate."""
        self.notes.update(
            regulariser_ratio=sum(self.ratios) / len(self.ratios),
            regulariser_ratios=[float(f"{ratio:.3g}") for ratio in self.ratios],
            regulariser_share=sum(self.shares) / len(self.shares),
            regulariser_lost=self.ratios.count(0.0),
        )


def trained(model):
    """The parameters that train."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def ruled(terms, gradients, factor):
    """Share of coordinates at which ``factor`` times the term is larger than the gradient."""
    more = sum((t * factor).abs_().gt(g.abs()).sum() for t, g in zip(terms, gradients, strict=True))
    return sharding.whole(more).item() / sum(term.numel() for term in terms)
