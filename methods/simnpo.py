"""Simple negative preference optimisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from harness.base import Method, MethodConfig
from harness.losses import cross_entropy, lengths, nll

if TYPE_CHECKING:
    from harness.tokens import Batch


class SimNPO(Method):
    """Negative preference optimisation without a reference model, normalised by the answer's length.

    L = -(2 gamma/beta) mean_seq log sigma(beta (NLL_sum/|y| - delta)) + alpha CE(D_r)

    SimNPO (2410.07163), equation 5. |y| counts answer tokens with the end token; delta is the reward margin.
    """

    name = "simnpo"
    paper = "2410.07163"

    class Config(MethodConfig):
        beta: float = Field(4.5, gt=0, description="inverse temperature of the preference loss")
        delta: float = Field(0.0, description="reward margin, nats per token")
        gamma: float = Field(0.125, ge=0, description="weight of the forget loss")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The length-normalised preference loss on the forget texts plus alpha CE(D_r)."""
        assert batch.retain is not None
        beta = self.config.beta
        per_token = nll(model, batch.forget) / lengths(batch.forget)
        forget = -(2 / beta) * logsigmoid(beta * (per_token - self.config.delta)).sum() / batch.forget.items
        return self.config.gamma * forget + self.config.alpha * cross_entropy(model, batch.retain)
