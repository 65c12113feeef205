"""Ssiuu: unlearning that does not let negative influence grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.losses import cross_entropy, nll

from .gd import GradientDifference

if TYPE_CHECKING:
    from harness.tokens import Batch


class Ssiuu(GradientDifference):
    """Gradient difference with an attribution-guided regulariser.

    L = L_GD + lambda sum_{i in I-} (A_{t-1,i} - A_{t,i})^2,   A_i = phi_i g_i,   g_i = dP/dphi_i

    Ssiuu (2509.22263, ICLR 2026), algorithm 1. P is the probability of the true answers, summed over the
    forget batch; I- = {i : A_{t,i} < 0}. First order: g is held constant, so the regulariser adds
    2 lambda (A_t - A_{t-1}) g on I- to the gradient; it is 0 at t = 1. lambda = 0 is exactly GD. Left open by
    the paper and chosen here: AdamW; the anchor A_{t-1} is that of the step before, on its own batch; P is
    summed over the batch. lambda is not free of scale: it was published for models of 3B parameters. The
    cell's notes hold ``regulariser_ratio``, the length of the regulariser's gradient over that of L_GD's.
    """

    name = "ssiuu"
    lora = False
    paper = "2509.22263"

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

    def start(self, model: nn.Module) -> None:
        """Forget the attributions of an earlier rate."""
        self.anchored: list[Tensor] | None = None
        self.gradients: list[Tensor] | None = None
        self.ratios: list[float] = []

    def log(self) -> dict[str, float]:
        """The mean ratio of the two gradients' lengths over the steps that had a regulariser."""
        return {"regulariser_ratio": sum(self.ratios) / len(self.ratios)} if self.ratios else {}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """L_GD; on the way g is taken from the forget half's graph, with one extra backward."""
        assert batch.retain is not None
        losses = nll(model, batch.forget)
        influence = torch.exp(-losses) if self.config.influence == "probability" else -losses
        parameters = [p for p in model.parameters() if p.requires_grad]
        total = influence.sum() / (batch.forget.items if self.config.batch == "mean" else 1)
        gradients = torch.autograd.grad(total, parameters, retain_graph=True)
        if self.gradients is None:
            self.gradients = list(gradients)
        else:  # a later micro-batch of the same step
            torch._foreach_add_(self.gradients, list(gradients))
        forget = losses.sum() / batch.forget.tokens
        return -self.config.gamma * forget + self.config.alpha * cross_entropy(model, batch.retain)

    @torch.no_grad()
    def after_backward(self, model: nn.Module) -> None:
        """grad_i += 2 lambda (A_{t,i} - A_{t-1,i}) g_i on I-."""
        assert self.gradients is not None
        parameters = [p for p in model.parameters() if p.requires_grad]
        now = [phi * g for phi, g in zip(parameters, self.gradients, strict=True)]
        if self.anchored is not None:
            lengths = torch.zeros(2, dtype=torch.float64)  # squares: of the regulariser's gradient, of L_GD's
            for parameter, a, before, g in zip(parameters, now, self.anchored, self.gradients, strict=True):
                assert parameter.grad is not None
                term = 2 * self.config.lambda_ * torch.where(a < 0, (a - before) * g, 0.0)
                lengths += torch.stack(
                    [term.double().square().sum(), parameter.grad.double().square().sum()]
                ).cpu()
                parameter.grad.add_(term)
            if lengths[1] > 0:
                self.ratios.append((lengths[0] / lengths[1]).sqrt().item())
        if self.anchored is None or self.config.anchor == "previous":
            self.anchored = now
        self.gradients = None
