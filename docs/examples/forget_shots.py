"""An attack in one file: show some forget facts, and ask for the others."""

from dataclasses import replace

from harness import Attack, AttackConfig, Field


class ForgetShots(Attack):
    """Let forget facts with answers come before the question; score on the others.

    No training: it asks whether a few of the facts in context open the rest.
    """

    name = "forget-shots"
    reads = frozenset({"forget"})
    variants = {"shots=3": {"shots": 3}, "shots=6": {"shots": 6}}

    class Config(AttackConfig):
        shots: int = Field(
            3,
            ge=1,
            description="forget facts in the prompt; at least 2 others must be left",
        )

    def attack(self, job):
        facts = list(job.data["forget"])
        job.rng.shuffle(facts)
        shown, rest = facts[: self.config.shots], facts[self.config.shots :]
        job.score_only(sorted(rest, key=lambda fact: fact.id))
        job.notes["n_injected"] = len(shown)
        shots = tuple((fact.question, fact.answer) for fact in shown)
        job.checkpoint(
            ask=lambda request: replace(
                request, prompt=replace(request.prompt, shots=shots)
            )
        )
