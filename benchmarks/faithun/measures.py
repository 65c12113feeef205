"""What FaithUn measures, on the authors' data, in the embedded world and on countries. (arXiv 2502.19207)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from harness import (
    Benchmark,
    Config,
    Fact,
    Field,
    Generate,
    LogLikelihood,
    Measure,
    Prompt,
    Question,
    Sample,
    Splits,
    metrics,
)

from ..choices import FALSE_OPTIONS, Scoring, by_cloze, by_generation, by_likelihood, option_sets
from ..thresholds import THRESHOLD, Threshold, stated
from .scores import FAMILIES, SCORES, SHOULD_FALL, SHOULD_STAY, reported

ScoringName = Literal["likelihood", "generated", "both", "cloze"]

PUBLISHED = 0.33
"""The Ssiuu paper's threshold: a model at chance counts as having forgotten."""


class MeasuresConfig(Config):
    """The settings that all of them share."""

    threshold: Threshold = Field("twin", description=THRESHOLD)
    option_seed: int = Field(
        0, description="decides the order of options, and which false ones if there are more"
    )


class FaithUnMeasures(Benchmark):
    """What all data in FaithUn's schema share: the measures and what they are compared with.

    Multiple choice is scored by likelihood (``accuracy``) or by a generated answer (``generated_accuracy``)
    in the paper's prompt, or by the likelihood of each option after the plain question (``cloze_accuracy``),
    on the base question, and on others with an ending: ``_paraphrase``, ``_multi_hop``, ``_same_answer``. A
    fact with several questions of a kind counts once, with their mean; one with none does not count.

    Split ``forget``: all four; ``exact_match``, ``probability`` and ``extraction_strength`` of the plain
    answer. Splits ``retain`` and ``test``: base question, ``exact_match``; ``test`` also multi-hop.
    """

    paper = "arXiv 2502.19207"
    neutral = ("test",)
    reports = reported(("accuracy", "generated_accuracy"))

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.families = FAMILIES[self.config.scoring]
        self.forget_metric = self.families[0]
        self.curve_metrics = (*self.families, "exact_match")
        self.retain_metric = ("retain", self.families[0])
        self.reports = reported(self.families)

    def threshold(self, splits: Splits) -> float | None:
        """The retrain twin's own score; chance where there is no twin. 0.33 as published (Ssiuu)."""
        return stated(self.config.threshold, lambda: PUBLISHED)

    def chance(self, splits: Splits) -> float:
        """1/3: one of three options, in every way of scoring."""
        return 1 / (1 + FALSE_OPTIONS)

    def measures(self, splits: Splits) -> Iterator[Measure]:
        for split, facts in splits.items():
            if split in ("forget", "retain", "test", "general"):
                for fact in facts:
                    yield from self._plain(split, fact)
                    yield from self._choices(split, fact)

    def _plain(self, split: str, fact: Fact) -> Iterator[Measure]:
        """What a fact's plain question gets for an answer; any of several right answers is an exact match."""
        plain, right = Prompt(fact.question), (fact.answer, *fact.aliases)
        yield Measure(
            split,
            "exact_match",
            fact.id,
            (Generate(plain, self.config.max_new_tokens),),
            lambda text: max(metrics.exact_match(text, answer) for answer in right),
        )
        if split == "forget":
            answer = LogLikelihood(plain, fact.answer)
            yield Measure(split, "probability", fact.id, (answer,), metrics.probability)
            bare = LogLikelihood(plain, fact.answer, end=False)
            yield Measure(split, "extraction_strength", fact.id, (bare,), metrics.extraction_strength)

    def _choices(self, split: str, fact: Fact) -> Iterator[Measure]:
        asked: dict[str, tuple[Question, ...]] = {}
        if split != "general":
            asked[""] = option_sets(Question(fact.question, fact.answer, fact.options, fact.aliases))
        if split in ("forget", "test"):
            asked["_multi_hop"] = fact.multi_hop
        if split == "forget":
            asked |= {"_paraphrase": fact.paraphrases, "_same_answer": fact.same_answer}
        for kind, questions in asked.items():
            for family in self.families if questions else ():
                yield Measure(split, family + kind, fact.id, *self._asked(family, questions))

    def _asked(self, family: str, questions: tuple[Question, ...]) -> Scoring:
        if family == "accuracy":
            return by_likelihood(questions, self.config.option_seed)
        if family == "cloze_accuracy":
            return by_cloze(questions)
        return by_generation(questions, self.config.option_seed, self.config.max_new_tokens)

    def aggregates(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """The paper's six scores under its names, and two aggregates of them; all in [0, 1].

        ``utility`` is the harmonic mean of TA, SA and MA_t: what should have stayed. ``faithfulness``, ours
        (the paper's aggregate is not known), is that of 1-UA', 1-UA+', 1-MA_f', TA, SA and MA_t, where
        x' = max(0, (x - 1/3) / (1 - 1/3)) is 0 at chance. An aggregate with a part missing is missing.
        """
        values, family = metrics.means(samples), self.families[0]
        found = {
            name: values[split, family + kind]
            for name, (split, kind) in SCORES.items()
            if (split, family + kind) in values
        }
        stayed, fell = ([found[n] for n in names if n in found] for names in (SHOULD_STAY, SHOULD_FALL))
        aggregates = {}
        if len(stayed) == len(SHOULD_STAY):
            aggregates["utility"] = metrics.harmonic_mean(stayed)
            if len(fell) == len(SHOULD_FALL):
                aggregates["faithfulness"] = metrics.faithfulness(fell, stayed, 1 / (1 + FALSE_OPTIONS))
        return found | aggregates
