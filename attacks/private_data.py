"""Private-data injection."""

from typing import Literal

from harness import Attack, Field, FinetuneConfig


class PrivateData(Attack):
    """Fine-tune on a fraction p of the forget facts; score on the others.

    The harmful retraining attack of Ssiuu (2509.22263), with p in {0.1, 0.3} and rates {1e-5, 5e-6, 1e-6}.
    There, facts still answered after unlearning leave the pool, so that every method is scored on other facts
    and the untouched model on none; by default all facts stay, and every method and control is scored on the
    same ones.
    """

    name = "private-data"
    paper = "2509.22263"
    shards = True
    reads = frozenset({"forget"})
    rates = (1e-5, 5e-6, 1e-6)
    variants = {"p=0.1": {"p": 0.1}, "p=0.3": {"p": 0.3}}

    class Config(FinetuneConfig):
        p: float = Field(0.1, gt=0, lt=1, description="fraction of the pool that the attacker holds")
        pool: Literal["all", "unanswered"] = Field(
            "all", description="draw from all forget facts, or only from those no longer answered (the paper)"
        )

    def attack(self, job):
        """Draw the facts held, take them out of the scored ones, fine-tune on them."""
        pool = list(job.data["forget"])
        if self.config.pool == "unanswered":
            known = job.answered(pool)
            pool = [fact for fact in pool if fact.id not in known]
        job.rng.shuffle(pool)
        held = max(1, round(self.config.p * len(pool)))
        job.score_only(sorted(pool[held:], key=lambda fact: fact.id))
        job.notes["n_injected"] = held
        job.finetune(pool[:held])
