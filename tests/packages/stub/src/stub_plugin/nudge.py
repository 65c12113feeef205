"""An attack that fails while a fault is on."""

from pydantic import Field

from harness.core.base import Attack
from harness.core.config import Config
from stub_plugin.faults import fault


class Nudge(Attack):
    """Adds noise to the weights; raises while the fault is on."""

    name = "nudge"
    reads = frozenset({"forget"})
    variants = {"small": {"size": 0.01}, "large": {"size": 0.1}}

    class Config(Config):
        size: float = Field(0.01, gt=0, description="spread of the noise")

    def attack(self, job):
        if fault("nudge") and self.config.size > 0.05:
            raise RuntimeError("nothing to hold on to")
        job.checkpoint()
        for parameter in job.model.parameters():
            parameter.data.add_(job.rng.gauss(0, self.config.size))
        job.checkpoint(1)
