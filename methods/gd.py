"""Gradient difference."""

from typing import Literal

import torch

from harness import Field, Method, MethodConfig, losses


class GradientDifference(Method):
    """Gradient difference: L = -gamma CE(D_f) + alpha CE(D_r).

    TOFU (2401.06121), section 3.3, there "GradDiff"; gamma = alpha = 1.
    """

    name = "gd"
    paper = "2401.06121"
    shards = True

    class Config(MethodConfig):
        gamma: float = Field(1.0, ge=0, description="weight of the forget loss")
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")
        optimizer: Literal["adamw", "sgd"] = Field(
            "adamw", description="AdamW; or SGD without momentum or weight decay, whose rates are others"
        )

    def loss(self, model, batch):
        """L = -gamma CE(D_f) + alpha CE(D_r)."""
        yield "forget", -self.config.gamma * losses.cross_entropy(model, batch.forget)
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)

    def optimizer(self, parameters, lr):
        """AdamW or SGD."""
        if self.config.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=lr)
        return super().optimizer(parameters, lr)
