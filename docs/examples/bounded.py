"""A method in one file: gradient difference that lets go of unlikely facts."""

from harness import Field, Method, MethodConfig, losses


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
        x = batch.forget
        per_token = losses.nll(model, x) / losses.lengths(x)
        pull = (self.config.margin - per_token).clamp(min=0)
        yield "forget", pull.sum() / x.step_items
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)
