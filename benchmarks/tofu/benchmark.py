"""TOFU: forgetting fictitious authors, measured on free-form answers. (arXiv 2401.06121)"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from random import Random
from statistics import fmean
from typing import Any, Literal

from harness import (
    Config,
    Example,
    Fact,
    Field,
    LogLikelihood,
    Measure,
    Prompt,
    Reported,
    Splits,
    Training,
    metrics,
)

from ..instructions import read_instructions
from ..records import read_records
from ..thresholds import THRESHOLD, Threshold, stated
from ..world.build import world
from .files import HUB_ID, to_facts
from .measures import TofuMeasures

PAIRS = 4000
"""Question-answer pairs about all authors: forget01 is 1 % of them, and retain99 the rest."""

PUBLISHED = 0.1971
"""The Ssiuu paper's threshold of ROUGE-L recall: the mean between mismatched answers."""

OF_ONE_AUTHOR = 20
"""Records about one author, in a row."""

SIZES = {"retain_perturbed": 400, "real_authors": 100, "world_facts": 117}
"""Records in the other published files. Nothing runs on a part of a data set unless ``limit`` asks for it."""


class TofuConfig(Config):
    forget: Literal["forget01", "forget05", "forget10"] = Field(
        "forget10", description="the forget split: 1, 5 or 10 % of the authors"
    )
    limit: int | None = Field(None, ge=1, description="only the first facts of every split, for trial runs")
    max_new_tokens: int = Field(200, ge=1, description="length of a generated answer")
    threshold: Threshold = Field("twin", description=THRESHOLD)
    epochs: int = Field(5, ge=1, description="passes over the data when training the targets")
    learning_rate: float = Field(1e-5, gt=0, description="learning rate when training the targets")
    batch_size: int = Field(32, ge=1, description="batch size when training the targets")
    instruct: str | None = Field(
        None, description="Alpaca-schema JSON file or hub id; default: tatsu-lab/alpaca, with --data none"
    )
    instruct_size: int = Field(1000, ge=1, description="instructions drawn for the attacks that use them")


class TofuMiniConfig(Config):
    threshold: Threshold = Field("twin", description=THRESHOLD)
    max_new_tokens: int = Field(16, ge=1, description="length of a generated answer")


class Tofu(TofuMeasures):
    """TOFU on 4,000 question-answer pairs about 200 fictitious authors, from the hub or from a directory.

    The directory given with ``--data`` holds JSON lines: ``forget10_perturbed.json``, ``retain90.json``,
    ``retain_perturbed.json``, ``real_authors_perturbed.json`` and ``world_facts_perturbed.json``; for another
    forget split the first two change accordingly. With ``holdout10.json`` beside them (published on the hub
    alone) membership inference is measured, too.
    """

    name = "tofu"
    needs_data = True
    Config = TofuConfig

    def load(self) -> Splits:
        self.directory = self.data or self.hub.dataset(HUB_ID, ["*.json"])
        percent = int(self.config.forget.removeprefix("forget"))
        count = PAIRS * percent // 100
        forget = self._of_authors(f"{self.config.forget}_perturbed", count, 5, paraphrased=True)
        retain = self._of_authors(f"retain{100 - percent}", PAIRS - count, unlike=forget)
        splits = {"forget": forget, "retain": retain}
        perturbed = self._read(
            "retain_perturbed", SIZES["retain_perturbed"], 5, paraphrased=True, among=retain
        )
        subjects = {fact.id: fact.subject for fact in retain}
        splits["retain_perturbed"] = tuple(replace(fact, subject=subjects[fact.id]) for fact in perturbed)
        for split in ("real_authors", "world_facts"):
            splits[split] = self._read(f"{split}_perturbed", SIZES[split], 3)
        if (self.directory / f"{(holdout := f'holdout{percent:02d}')}.json").is_file():
            splits["holdout"] = self._of_authors(holdout, None, unlike=(*forget, *retain))
        splits = {split: facts[: self.config.limit] for split, facts in splits.items()}
        if self.config.instruct is not None or self.data is None:
            splits["instruct"] = read_instructions(self.config.instruct, self.config.instruct_size, self.hub)
        return Splits(splits)

    def _read(self, name: str, count: int | None, perturbed: int = 0, **rules: Any) -> tuple[Fact, ...]:
        return to_facts(read_records(self.directory, name), count, perturbed, **rules)

    def _of_authors(self, name: str, count: int | None, perturbed: int = 0, **rules: Any) -> tuple[Fact, ...]:
        """Facts about fictitious authors. The files name none, but an author's records stand in a row."""
        facts = self._read(name, count, perturbed, **rules)
        return tuple(
            replace(fact, subject=f"{name} author {place // OF_ONE_AUTHOR + 1}")
            for place, fact in enumerate(facts)
        )

    def threshold(self, splits: Splits) -> float | None:
        """The retrain twin's own score. 0.1971 ROUGE-L recall as published (Ssiuu)."""
        return stated(self.config.threshold, lambda: PUBLISHED)

    def chance(self, splits: Splits) -> float:
        """Mean ROUGE-L recall of the perturbed answers: the right format with wrong content."""
        return fmean(
            fmean(metrics.rouge_l_recall(wrong, fact.answer) for wrong in fact.perturbed_answers)
            for fact in splits["forget"]
        )

    def training(self, splits: Splits) -> Training:
        """The full set, retain before forget, for the original; retain alone for its twin."""
        retain, forget = _examples(splits["retain"]), _examples(splits["forget"])
        return Training(
            original=retain + forget,
            retrain=retain,
            epochs=self.config.epochs,
            learning_rate=self.config.learning_rate,
            batch_size=self.config.batch_size,
        )


def _examples(facts: Iterable[Fact]) -> tuple[Example, ...]:
    return tuple(Example(Prompt(fact.question), fact.answer, fact.id) for fact in facts)


class TofuMini(TofuMeasures):
    """The embedded world in TOFU's schema: 50 authors x 8 topics, 10 authors to forget.

    It needs no file and no network, and one small model trained on it serves faithun-mini as well. Forget
    ``accuracy``: is the paraphrased answer likelier per token than each perturbed one? Chance is 1/6.
    """

    name = "tofu-mini"
    Config = TofuMiniConfig
    utility_tasks = "harness.benchmarks.world.tasks:tasks"
    reports = (*TofuMeasures.reports, Reported("accuracy", ("forget",), metrics.lowest_loss))

    def load(self) -> Splits:
        return Splits(world().tofu)

    def measures(self, splits: Splits) -> Iterator[Measure]:
        yield from super().measures(splits)
        for fact in splits.get("forget", ()):
            answers = (fact.paraphrased_answer or fact.answer, *fact.perturbed_answers)
            requests = tuple(LogLikelihood(Prompt(fact.question), answer) for answer in answers)
            yield Measure("forget", "accuracy", fact.id, requests, metrics.lowest_loss)

    def threshold(self, splits: Splits) -> float | None:
        """The retrain twin's own score. As published (Ssiuu): mean ROUGE-L recall of mismatched answers."""
        return stated(self.config.threshold, _mismatched)

    def chance(self, splits: Splits) -> float:
        """Mean ROUGE-L recall of what other, retained authors would answer to the same question."""
        told: dict[str, list[str]] = {}
        for fact in world().tofu["retain"]:
            told.setdefault(_stem(fact), []).append(fact.answer)
        return fmean(
            fmean(metrics.rouge_l_recall(other, fact.answer) for other in told[_stem(fact)])
            for fact in splits["forget"]
        )

    def training(self, splits: Splits) -> Training:
        return world().training


def _stem(fact: Fact) -> str:
    return fact.question.replace(fact.subject, "")


@cache
def _mismatched(rounds: int = 10) -> float:
    """Each round deals every forget answer to the question of another one."""
    answers = [fact.answer for fact in world().tofu["forget"]]
    rng = Random("mismatched answers")
    recalls = []
    for _ in range(rounds):
        ring = rng.sample(answers, len(answers))
        recalls += [metrics.rouge_l_recall(ring[i - 1], gold) for i, gold in enumerate(ring)]
    return fmean(recalls)
