"""A method in one file: gradient difference that lets go of unlikely facts."""

from pydantic import Field

import harness
from harness.core.base import Method
from harness.core.config import MethodConfig
from harness.model.losses import cross_entropy, lengths, nll


class Bounded(Method):
    """Gradient difference whose ascent on a fact ends at a bound.

    L = mean_{D_f} max(0, margin - NLL/|y|) + alpha CE(D_r)

    Once a fact's loss per token has reached the margin it no longer pulls. Plain
    ascent has no such bound.
    """

    name = "bounded"

    class Config(MethodConfig):
        margin: float = Field(
            5.0,
            gt=0,
            description="loss per answer token, in nats, at which a fact is let go",
        )
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def loss(self, model, batch):
        per_token = nll(model, batch.forget) / lengths(batch.forget)
        yield (self.config.margin - per_token).clamp(
            min=0
        ).sum() / batch.forget.step_items
        yield self.config.alpha * cross_entropy(model, batch.retain)


@harness.hookimpl
def register_methods(register):
    register("bounded", Bounded)
