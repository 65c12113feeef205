"""Settings of plugins: the base classes of every Config. No heavy import here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, DirectoryPath, Field, FilePath, model_validator

from .keys import files_fingerprint, tree_fingerprint

validator = model_validator(mode="after")
"""Decorates a Config's check of several settings together, which raises ValueError or returns self."""


class Content:
    """Marks a setting that names a file or directory: what lies there counts in keys, and not its place."""

    def identity(self, path: Path) -> str:
        """What of it is in a key: its name, and the beginning of a digest of its content."""
        digest = tree_fingerprint(path) if path.is_dir() else files_fingerprint([path])
        return f"{path.name}@{digest[:16]}"


File = Annotated[FilePath, Content()]
"""A setting that names a file. Its content is in the key of every cell that uses it."""

Directory = Annotated[DirectoryPath, Content()]
"""A setting that names a directory. The content of all files below it is in the key."""


class Config(BaseModel):
    """Settings of a plugin: typed, with a description each; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    def identity(self) -> str:
        """The settings as JSON, with the content of files and directories in place of where they are."""
        contents = {}
        for name, field in type(self).model_fields.items():
            path, content = getattr(self, name), [mark for mark in marks(field) if isinstance(mark, Content)]
            if isinstance(path, Path) and content:
                contents[name] = content[0].identity(path)
        return self.model_copy(update=contents).model_dump_json(by_alias=True, warnings=False)


def marks(field: Any) -> list[Any]:
    """What an annotation carries beside its type, also within a union (``File | None``)."""
    found = list(field.metadata)
    for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
        found += getattr(part, "__metadata__", ())
    return found


class AttackConfig(Config):
    """Settings of an attack that does not train."""


class AnalysisConfig(Config):
    """Settings of an analysis."""


class ModifierConfig(Config):
    """Settings of a modifier."""


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
    batch_size: int | None = Field(
        None, ge=1, description="examples per step, or all there are if fewer; None: the target's"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay")
    lora_r: int | None = Field(
        None, ge=1, description="rank of LoRA adapters, at most the model's width; None trains all weights"
    )
    lora_alpha: int | None = Field(None, ge=1, description="LoRA's alpha; None is twice the rank")

    def stops(self, facts: int) -> list[int]:
        """Return the steps after which the forget set is scored; the last is the attacker's budget."""
        raise NotImplementedError(f"{type(self).__name__} does not say how long to train")


def settled(setting: int | None) -> int:
    """A setting of a budget. Raises ValueError where it was left open, and no protocol has filled it yet."""
    if setting is None:
        raise ValueError("A budget was left open: the protocol of the model's size says what it is.")
    return setting


class FinetuneConfig(TrainingConfig):
    """Settings of an attack with a budget of steps."""

    steps: int | None = Field(
        None, ge=1, description="optimiser steps for each rate, the attacker's budget; None: the target's"
    )
    checkpoints: tuple[int, ...] = Field(
        (5, 10, 20, 40),
        description="steps after which the forget set is scored; those within the budget count",
    )

    def stops(self, facts: int) -> list[int]:
        steps = settled(self.steps)
        return sorted({c for c in self.checkpoints if c <= steps} | {steps})


class EpochsConfig(TrainingConfig):
    """Settings of an attack with a budget of passes over what it trains on; it is scored after each."""

    epochs: int = Field(3, ge=1, description="passes over the facts trained on, for each rate")

    def stops(self, facts: int) -> list[int]:
        per_epoch = -(-facts // min(settled(self.batch_size), facts))
        return [per_epoch * (epoch + 1) for epoch in range(self.epochs)]
