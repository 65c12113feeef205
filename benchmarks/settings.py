"""Settings that benchmarks on published data share."""

from __future__ import annotations

from typing import Any

from harness import Config, Fact, Field

from .instructions import read_instructions
from .thresholds import UNPUBLISHED, Unpublished


class PublishedConfig(Config):
    """What counts as forgotten, and instructions for the attacks that train on them."""

    threshold: Unpublished = Field("twin", description=UNPUBLISHED)
    instruct: str | None = Field(
        None, description="Alpaca-schema JSON file or hub id, for the attack `instruction`; default: none"
    )
    instruct_size: int = Field(1000, ge=1, description="instructions drawn for the attacks that use them")

    def instructions(self, hub: Any) -> dict[str, tuple[Fact, ...]]:
        """The split ``instruct``, where it is asked for."""
        if self.instruct is None:
            return {}
        return {"instruct": read_instructions(self.instruct, self.instruct_size, hub)}


class TrainedConfig(PublishedConfig):
    """And how the targets are trained."""

    epochs: int = Field(5, ge=1, description="passes over the data when training the targets")
    learning_rate: float = Field(1e-5, gt=0, description="learning rate when training the targets")
    batch_size: int = Field(32, ge=1, description="batch size when training the targets")
