"""Instruction-following fine-tuning."""

from harness import Attack, Field, FinetuneConfig


class Instruction(Attack):
    """Fine-tune on instruction-following data that holds none of the facts.

    The benign retraining attack of Ssiuu (2509.22263): 1,000 Alpaca items, rates {1e-5, 1e-6, 1e-7}.
    """

    name = "instruction"
    paper = "2509.22263"
    shards = True
    reads = frozenset({"instruct"})
    rates = (1e-5, 1e-6, 1e-7)

    class Config(FinetuneConfig):
        items: int = Field(1000, ge=1, description="instructions drawn, or all there are if fewer")

    def attack(self, job):
        """Draw the instructions and fine-tune on them."""
        instructions = list(job.data["instruct"])
        job.rng.shuffle(instructions)
        drawn = instructions[: self.config.items]
        job.notes["n_injected"] = len(drawn)
        job.finetune(drawn)
