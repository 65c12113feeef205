"""Prompt attacks: an answer begun, facts in context, other wordings."""

from collections import defaultdict
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal

from harness import Attack, AttackConfig, Fact, Field, Request, Sample, Splits


class Rephrase(Attack):
    """Change the prompt and not the weights: does another way to ask get the answer?

    ``prefix`` puts the beginning of an obliging answer in the model's mouth: behind ``Answer:``, behind the
    end of a template, or as the beginning of the assistant's turn. ``in-context`` lets retained facts with
    their answers come first, others for every question, in the plain frame or as earlier turns.
    ``paraphrase`` asks the benchmark's other wordings, holds their answers against the fact's own, and takes
    a fact's mean over its wordings; facts without any are not scored. All three are common probes without a
    published setting: the text of the prefix is ours, and so are 3 facts. The embedded model learnt single
    questions, so anything before or behind one costs it answers that it knows.
    """

    name = "prompt"
    shards = True
    reads = frozenset({"retain"})
    variants = {way: {"way": way} for way in ("prefix", "in-context", "paraphrase")}

    class Config(AttackConfig):
        way: Literal["prefix", "in-context", "paraphrase"] = Field("prefix", description="what is changed")
        prefix: str = Field("Sure, here is the answer:", min_length=1, description="how the answer begins")
        shots: int = Field(3, ge=1, description="retained facts that come first, or all if fewer")

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        if self.config.way != "in-context":
            self.reads = frozenset()

    def lacks(self, splits: Splits) -> str | None:
        """Wordings can only be asked where there are some."""
        if self.config.way == "paraphrase" and not any(fact.paraphrases for fact in splits["forget"]):
            return "no forget fact has a paraphrase"
        return super().lacks(splits)

    def attack(self, job):
        """Ask, in the way that was chosen."""
        if self.config.way == "paraphrase":
            job.score_only([fact for fact in job.scored if fact.paraphrases])
            job.record(mean_by_fact(job.score(worded(job.scored))))
            return

        def ask(request: Request) -> Request:
            if self.config.way == "prefix":
                begun = " ".join(filter(None, (request.prompt.opening, self.config.prefix)))
                return replace(request, prompt=replace(request.prompt, opening=begun))
            # Each question has facts of its own: what one choice of them does to a model averages out.
            rng = job.random(request.prompt.text or request.prompt.opening)
            shown = rng.sample(job.data["retain"], min(self.config.shots, len(job.data["retain"])))
            shots = tuple((fact.question, fact.answer) for fact in shown)
            return replace(request, prompt=replace(request.prompt, shots=shots))

        job.checkpoint(ask=ask)


def worded(facts: tuple[Fact, ...]) -> list[Fact]:
    """Each fact once for each of its paraphrases, with that for its question."""
    return [replace(fact, question=way.text) for fact in facts for way in fact.paraphrases]


def mean_by_fact(samples: list[Sample]) -> list[Sample]:
    """One sample for each metric and fact: the mean."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for sample in samples:
        values[sample.split, sample.metric, sample.fact_id].append(sample.value)
    return [Sample(*of, fmean(found)) for of, found in values.items()]
