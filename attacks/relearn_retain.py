"""Relearning from what was to be kept."""

from harness import Attack, Field, FinetuneConfig


class RelearnRetain(Attack):
    """Fine-tune on the retained facts: related to the forgotten ones, and none of them.

    Targeted relearning (2406.13356): LoRA at rate 2e-4, batches of 8, 15 to 60 steps; here one run of 60
    steps, scored on the way. Chosen where it is open: rank 16, alpha 32, and all retained facts are held.
    """

    name = "relearn-retain"
    paper = "2406.13356"
    shards = True
    reads = frozenset({"retain"})
    rates = (2e-4,)

    class Config(FinetuneConfig):
        batch_size: int | None = Field(8, ge=1, description="examples per step, or all there are if fewer")
        steps: int | None = Field(
            60, ge=1, description="optimiser steps for each rate: the attacker's budget"
        )
        checkpoints: tuple[int, ...] = Field(
            (15, 30, 45, 60),
            description="steps after which the forget set is scored; those within the budget count",
        )
        lora_r: int | None = Field(
            16, ge=1, description="rank of LoRA adapters, at most the model's width; None trains all weights"
        )

    def attack(self, job):
        """Fine-tune on all retained facts; every forget fact is scored."""
        retained = job.data["retain"]
        job.notes["n_injected"] = len(retained)
        job.finetune(retained)
