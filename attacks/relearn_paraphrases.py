"""Relearning some forgotten facts in other words."""

from dataclasses import replace

from harness import Attack, Field, FinetuneConfig, Splits


class RelearnParaphrases(Attack):
    """Fine-tune on other wordings of a fraction p of the forget facts; score on the others, as they stand.

    Whoever holds a fact seldom holds the sentences in which it was learned. The attack is that of
    `private-data` (Ssiuu, 2509.22263) in all else: where every fact has other wordings, the same seed gives
    both the same facts. Only facts with other wordings are held, each in all of them.
    """

    name = "relearn-paraphrases"
    shards = True
    reads = frozenset({"forget"})
    rates = (1e-5, 5e-6, 1e-6)

    class Config(FinetuneConfig):
        p: float = Field(
            0.3, gt=0, lt=1, description="fraction held, of the forget facts that have other wordings"
        )

    def lacks(self, splits: Splits) -> str | None:
        """Other wordings can only be learned where there are some."""
        if "forget" in splits and not any(fact.paraphrases for fact in splits["forget"]):
            return "no forget fact has a paraphrase"
        return super().lacks(splits)

    def attack(self, job):
        """Draw the facts held, take them out of the scored ones, fine-tune on their other wordings."""
        pool = [fact for fact in job.data["forget"] if fact.paraphrases]
        job.rng.shuffle(pool)
        held = pool[: max(1, round(self.config.p * len(pool)))]
        ids = {fact.id for fact in held}
        job.score_only([fact for fact in job.scored if fact.id not in ids])
        job.notes["n_injected"] = len(held)
        job.finetune([worded for fact in held for worded in paraphrased(fact)])


def paraphrased(fact):
    """The fact once in each of its other wordings."""
    return [replace(fact, question=way.text, answer=way.answer, passage="") for way in fact.paraphrases]
