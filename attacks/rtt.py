"""Retraining on T: train on most parts of the forget set, score on the rest."""

from collections import defaultdict
from collections.abc import Sequence

from harness import Attack, EpochsConfig, Fact, Field, HarnessError, fixed_random


class RetrainOnT(Attack):
    """Train on four of five independent parts of the forget facts; score on the fifth.

    RTT (2410.08827): 6 epochs at each rate of 1e-7 * 2^n below 5e-6, the maximum over rates and epochs.
    Facts about one subject stay in one part, so that no part tells of another; without subjects each fact
    stands for itself. The parts are the same for every seed, and the one held out is number seed modulo 5,
    so that five seeds score every fact once. The batch size is open: at most 32 here.
    """

    name = "rtt"
    paper = "2410.08827"
    reads = frozenset({"forget"})
    rates = tuple(1e-7 * 2**n for n in range(6))

    class Config(EpochsConfig):
        epochs: int = Field(6, ge=1, description="passes over the facts trained on, for each rate")
        parts: int = Field(5, ge=2, description="independent parts; all but one are trained on")

    def attack(self, job):
        """Hold one part out, fine-tune on the others."""
        parts = independent(job.data["forget"], self.config.parts)
        held_out = parts.pop(job.seed % len(parts))
        job.score_only(held_out)
        known = [fact for part in parts for fact in part]
        job.notes["n_injected"] = len(known)
        job.finetune(known)


def independent(facts: Sequence[Fact], count: int) -> list[list[Fact]]:
    """``facts`` in ``count`` parts of about one size, no subject in two: each goes into the smallest so far.

    Raises HarnessError for fewer subjects than parts.
    """
    subjects: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        subjects[f"subject {fact.subject}" if fact.subject else f"fact {fact.id}"].append(fact)
    if len(subjects) < count:
        raise HarnessError(
            f"The forget facts are about {len(subjects)} subjects and cannot make {count} independent parts: "
            "set rtt.parts lower."
        )
    order = sorted(subjects)
    fixed_random("rtt").shuffle(order)
    order.sort(key=lambda name: -len(subjects[name]))  # the largest first: parts come out even
    parts: list[list[Fact]] = [[] for _ in range(count)]
    for name in order:
        min(parts, key=len).extend(subjects[name])
    return parts
