"""A method derived from another one: NPO with a pull back to the original weights."""

from harness.methods.npo import NPO

from harness import Field


class Anchored(NPO):
    """NPO whose weights are held near those of the original.

    L = L_NPO + anchor |theta - theta_0|^2
    """

    name = "anchored-npo"
    lora = False  # it looks at every weight

    class Config(NPO.Config):
        anchor: float = Field(1.0, ge=0, description="weight of the pull back")

    def prepare(self, job):
        """What NPO needs, and the original weights."""
        super().prepare(job)
        self.origin = job.original

    def loss(self, model, batch):
        """The terms of NPO, and one more."""
        yield from super().loss(model, batch)
        distance = sum(
            (parameter - self.origin[name]).square().sum()
            for name, parameter in model.named_parameters()
        )
        share = len(batch.forget) / batch.forget.step_items
        yield "anchor", self.config.anchor * share * distance
