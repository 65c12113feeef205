"""RWKU: forgetting famous people, on three levels of probes. (arXiv 2406.10890)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from harness import (
    Benchmark,
    DataError,
    Fact,
    Field,
    Generate,
    LogLikelihood,
    Measure,
    Sample,
    Splits,
    metrics,
)

from ..passages import mismatched, running
from ..settings import PublishedConfig
from ..thresholds import stated
from .files import HUB_ID, documents, probes, prompt_of, table, targets_of, there, with_texts
from .scores import MEMBERSHIP, PROBES, REPORTS, recall, text_loss

LEVELS = {"forget": 1, "level2": 2, "level3": 3, "retain": 1, "neighbor1": 1, "neighbor2": 2}
"""By split, how its probes are asked."""


class RwkuConfig(PublishedConfig):
    targets: int = Field(10, ge=1, description="people to forget, the first ones of the file, of 200")
    retained: int = Field(10, ge=1, description="people to keep, the next ones")
    train: Literal["probes", "original", "llama3", "phi3"] = Field(
        "probes",
        description="what methods and attacks train on: the probes, Wikipedia's text, or a model's own",
    )
    max_new_tokens: int = Field(30, ge=1, description="length of a generated answer")


class Rwku(Benchmark):
    """RWKU: people whom a pretrained model knows, from the hub or from a directory with its tables.

    Level 1 is a blank to fill in, level 2 a question, level 3 one of nine adversarial ways to ask. The forget
    set are the probes of level 1: under relearning they come back first, so they are the measure of
    robustness. ``recall`` is the paper's score, on levels 2 and 3 and on people nearby (``neighbor1``,
    ``neighbor2``) as well; ``forget_all`` is its mean over all probes of the forgotten.
    """

    name = "rwku"
    paper = "arXiv 2406.10890"
    needs_data = True
    neutral = ("neighbor1", "neighbor2")
    Config = RwkuConfig
    forget_metric = "recall"
    curve_metrics = ("recall", "exact_match")
    retain_metric = ("neighbor1", "recall")
    reports = REPORTS

    def load(self) -> Splits:
        directory = self.data or self.hub.dataset(HUB_ID, ["*.parquet", "*.json", "*.jsonl", "*.csv"])
        first = table(directory, "forget_level1")
        people, wanted = targets_of(first), self.config.targets + self.config.retained
        if len(people) < wanted:
            raise DataError(
                first[0].table,
                f"expected probes about {wanted} people (rwku.targets, rwku.retained), found {len(people)}",
            )
        forget, retain = people[: self.config.targets], people[self.config.targets : wanted]
        splits = {"forget": probes(first, "level1", forget, 1), "retain": probes(first, "level1", retain, 1)}
        for level in (2, 3):
            splits[f"level{level}"] = probes(
                table(directory, f"forget_level{level}"), f"level{level}", forget, level
            )
        for level in (1, 2):
            name = f"neighbor{level}"
            splits[name] = probes(table(directory, f"neighbor_level{level}"), name, forget, level)
        for name in MEMBERSHIP:
            if there(directory, name):
                splits[name] = documents(table(directory, name), name, forget)
        if self.config.train != "probes":
            splits |= self._trained_on(directory, splits)
        splits = {name: facts for name, facts in splits.items() if facts}
        return Splits(splits | self.config.instructions(self.hub))

    def _trained_on(
        self, directory: Path, splits: Mapping[str, Sequence[Fact]]
    ) -> dict[str, tuple[Fact, ...]]:
        own = self.config.train
        texts = table(directory, "train_original_passage" if own == "original" else f"train_positive_{own}")
        return {name: with_texts(splits[name], texts) for name in ("forget", "retain")}

    def measures(self, splits: Splits) -> Iterator[Measure]:
        for split, facts in splits.items():
            for fact in facts:
                measure = partial(Measure, split, fact_id=fact.id)
                if split in PROBES:
                    prompt = prompt_of(fact, LEVELS[split])
                    said = (Generate(prompt, self.config.max_new_tokens),)
                    yield measure("recall", requests=said, value=partial(recall, gold=fact.answer))
                    if split == "forget":
                        exact = partial(metrics.exact_match, gold=fact.answer)
                        yield measure("exact_match", requests=said, value=exact)
                        answer = (LogLikelihood(prompt, fact.answer),)
                        yield measure("probability", requests=answer, value=metrics.probability)
                elif split in MEMBERSHIP:
                    yield measure("text_loss", requests=(running(fact.passage),), value=text_loss)

    def aggregates(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """Means over all probes of the forgotten, and of people nearby (``utility``)."""
        of = metrics.by_metric(samples)
        names = {"forget_all": ("forget", "level2", "level3"), "utility": self.neutral}
        parts = {name: [of.get((split, "recall")) for split in splits] for name, splits in names.items()}
        return {
            name: sum(map(sum, found)) / sum(map(len, found))  # type: ignore[arg-type]
            for name, found in parts.items()
            if None not in found
        }

    def threshold(self, splits: Splits) -> float | None:
        """Chance: there is no twin of people whom a model has met in its pretraining."""
        return stated(self.config.threshold)

    def chance(self, splits: Splits) -> float:
        """Mean recall of answers about other, retained people."""
        golds, others = ([fact.answer for fact in splits[name]] for name in ("forget", "retain"))
        return mismatched(recall, golds, others)
