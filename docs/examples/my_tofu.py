"""A benchmark in one file: TOFU's measures on facts of your own."""

from functools import cache, partial
from statistics import fmean

from harness.benchmarks.instructions import read_instructions
from harness.benchmarks.records import read_records
from harness.benchmarks.tofu import Tofu, TofuConfig, to_facts

from harness import DataError, Field, Splits, metrics


class MyTofu(Tofu):
    """Facts of your own in TOFU's schema, from the directory given with --data."""

    name = "my-tofu"

    class Config(TofuConfig):
        threshold: float | None = Field(
            None,
            ge=0,
            le=1,
            description="ROUGE-L recall that counts as forgotten; None: TOFU's rule",
        )

    def load(self):
        if self.data is None:
            raise DataError(
                "my-tofu",
                "the facts are your own; give their directory with --data DIR",
            )
        read = partial(read_records, self.data)
        forget = to_facts(read("forget_perturbed"), perturbed=5, paraphrased=True)
        retain = to_facts(read("retain"), unlike=forget)
        splits = {
            "forget": forget,
            "retain": retain,
            "retain_perturbed": to_facts(
                read("retain_perturbed"), perturbed=5, paraphrased=True, among=retain
            ),
            "real_authors": to_facts(read("real_authors_perturbed"), perturbed=3),
            "world_facts": to_facts(read("world_facts_perturbed"), perturbed=3),
        }
        if self.config.instruct:
            splits["instruct"] = read_instructions(
                self.config.instruct, self.config.instruct_size, self.hub
            )
        return Splits(
            {split: facts[: self.config.limit] for split, facts in splits.items()}
        )

    def threshold(self, splits):
        """Mean ROUGE-L recall between mismatched answers: TOFU's rule."""
        if self.config.threshold is not None:
            return self.config.threshold
        return mismatched(tuple(fact.answer for fact in splits["forget"]))


@cache
def mismatched(answers, most=10):
    """Each answer is held against up to ``most`` that follow it in a ring."""
    apart = range(1, min(most, len(answers) - 1) + 1)
    return fmean(
        metrics.rouge_l_recall(answers[i - n], gold)
        for n in apart
        for i, gold in enumerate(answers)
    )
