"""Few-shot LoRA fine-tuning."""

from harness import Attack, EpochsConfig, Field


class FewShotLora(Attack):
    """Fine-tune adapters on a few forget facts; score on the others.

    The fine-tuning of 2409.18025: rank 128, alpha 16, rate 2e-4, 3 epochs, 5 to 1,000 samples; here 10, which
    leaves enough to score in the smallest published forget set, 40 facts. The batch size is open: 1 here, so
    that a few facts in few epochs are more than a few steps. A rank above the model's width is cut to it.
    """

    name = "lora"
    paper = "2409.18025"
    reads = frozenset({"forget"})
    rates = (2e-4,)

    class Config(EpochsConfig):
        samples: int = Field(10, ge=1, description="forget facts the attacker holds; at least 2 must be left")
        batch_size: int | None = Field(1, ge=1, description="examples per step, or all there are if fewer")
        lora_r: int | None = Field(
            128, ge=1, description="rank of LoRA adapters, at most the model's width; None trains all weights"
        )
        lora_alpha: int | None = Field(16, ge=1, description="LoRA's alpha; None is twice the rank")

    def attack(self, job):
        """Draw the facts held, take them out of the scored ones, fine-tune on them."""
        facts = list(job.data["forget"])
        job.rng.shuffle(facts)
        held, rest = facts[: self.config.samples], facts[self.config.samples :]
        job.score_only(sorted(rest, key=lambda fact: fact.id))
        job.notes["n_injected"] = len(held)
        job.finetune(held)
