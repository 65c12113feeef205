"""Settings of plugins: the base classes of every Config. No heavy import here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Settings of a plugin: typed, with a description each; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class AttackConfig(Config):
    """Settings of an attack that does not train."""


class BenchmarkConfig(Config):
    """Settings of a benchmark."""


class MethodConfig(Config):
    """Settings every gradient method shares. ``None`` takes the value of the target's protocol."""

    learning_rates: tuple[float, ...] | None = Field(
        None, description="grid, ascending; the lowest that reaches the forgetting threshold is used"
    )
    epochs: int | None = Field(None, ge=1, description="budget, in passes over the forget set")
    batch_size: int | None = Field(None, ge=1, description="forget facts per optimiser step")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decoupled weight decay")
    lora_r: int | None = Field(
        None, ge=1, description="rank of LoRA adapters; None trains the weights themselves"
    )
    lora_alpha: int | None = Field(None, ge=1, description="LoRA's alpha; None is twice the rank")
    warmup_epochs: float = Field(1.0, ge=0, description="passes over which the rate rises linearly from 0")


class TrainingConfig(Config):
    """Settings every attack that trains shares, however it counts its budget."""

    learning_rates: tuple[float, ...] | None = Field(
        None, min_length=1, description="grid; None: the published rates times the target's scale"
    )
    batch_size: int = Field(32, ge=1, description="examples per step, or all there are if fewer")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay")
    lora_r: int | None = Field(
        None, ge=1, description="rank of LoRA adapters, at most the model's width; None trains all weights"
    )
    lora_alpha: int | None = Field(None, ge=1, description="LoRA's alpha; None is twice the rank")

    def stops(self, facts: int) -> list[int]:
        """Return the steps after which the forget set is scored; the last is the attacker's budget."""
        raise NotImplementedError(f"{type(self).__name__} does not say how long to train")


class FinetuneConfig(TrainingConfig):
    """Settings of an attack with a budget of steps."""

    steps: int = Field(40, ge=1, description="optimiser steps for each rate: the attacker's budget")
    checkpoints: tuple[int, ...] = Field(
        (5, 10, 20, 40),
        description="steps after which the forget set is scored; those within the budget count",
    )

    def stops(self, facts: int) -> list[int]:
        return sorted({c for c in self.checkpoints if c <= self.steps} | {self.steps})


class EpochsConfig(TrainingConfig):
    """Settings of an attack with a budget of passes over what it trains on; it is scored after each."""

    epochs: int = Field(3, ge=1, description="passes over the facts trained on, for each rate")

    def stops(self, facts: int) -> list[int]:
        per_epoch = -(-facts // min(self.batch_size, facts))
        return [per_epoch * (epoch + 1) for epoch in range(self.epochs)]
