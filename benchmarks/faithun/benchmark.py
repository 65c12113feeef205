"""FaithUn: does unlearning a fact take what depends on it, and only that? (arXiv 2502.19207)

A cluster is a base question with paraphrases, multi-hop questions and questions of other subjects with the
same answer. Accuracy is multiple choice among three options; training is on the plain question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness import (
    Benchmark,
    Config,
    DataError,
    Fact,
    Field,
    Generate,
    LogLikelihood,
    Measure,
    Prompt,
    Question,
    Sample,
    Splits,
    Training,
    metrics,
)

from ..choices import FALSE_OPTIONS, Scoring, by_generation, by_likelihood, option_sets
from ..instructions import read_instructions
from ..thresholds import THRESHOLD, Threshold, stated
from ..world.build import world
from .files import INDEX_FILES, read_clusters, read_indices
from .scores import FAMILIES, GENERAL, SCORES, SHOULD_FALL, SHOULD_STAY, reported

PUBLISHED = 0.33
"""The Ssiuu paper's threshold: a model at chance counts as having forgotten."""


class _Config(Config):
    threshold: Threshold = Field("twin", description=THRESHOLD)
    option_seed: int = Field(
        0, description="decides the order of options, and which false ones if there are more"
    )


class FaithUnConfig(_Config):
    scoring: Literal["likelihood", "generated", "both"] = Field(
        "both",
        description="multiple choice by likelihood of the options, by a generated answer as in the paper, or "
        "both, and then the generated answer counts",
    )
    max_new_tokens: int = Field(32, ge=1, description="length of a generated answer")
    splits: str | None = Field(
        None, description="directory of the published index files; default: the data directory or its splits/"
    )
    clusters: int = Field(
        664, ge=1, description="base questions in the file: the index files are made for that many"
    )
    instruct: str | None = Field(
        None,
        description="Alpaca-schema JSON file or hub id for attacks with instructions; none leaves them out",
    )
    instruct_size: int = Field(1000, ge=1, description="instructions drawn for the attacks that use them")


class FaithUnMiniConfig(_Config):
    scoring: Literal["likelihood", "generated", "both"] = Field(
        "likelihood",
        description="multiple choice by likelihood of the options, by a generated answer, or both, and then "
        "the generated answer counts",
    )
    max_new_tokens: int = Field(8, ge=1, description="length of a generated answer")


class _FaithUn(Benchmark):
    """What the real and the embedded FaithUn share: the measures and what they are compared with.

    Multiple choice is scored by likelihood (``accuracy``) or by a generated answer (``generated_accuracy``),
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
        """1/3: one of three options, in both ways of scoring."""
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


class FaithUn(_FaithUn):
    """FaithUn on 664 clusters about 200 well-known people. The data directory holds the authors' files.

    They are ``FaithUn_Dataset.json`` (or ``FaithUnBench.json``) and, beside it or in ``splits/``, the index
    files ``forget_set_split.txt``, ``retaining_set_split.txt`` and ``test_set_split.txt``, a number a line.
    Clusters are numbered from 0 in the order of the file. Of several ``answers`` the first is the option.

    As in the paper a model generates its choice; the options' likelihood stands beside it (``scoring``), for
    a model that only declines to choose has forgotten nothing. Metrics: UA, UA+, MA_f (should fall to
    chance), TA, SA, MA_t (should stay), in split ``all``; ``faithfulness`` is our aggregate of the six.
    """

    name = "faithun"
    forget_metric = "generated_accuracy"
    curve_metrics = ("generated_accuracy", "accuracy", "exact_match")
    retain_metric = ("retain", "generated_accuracy")
    needs_data = True
    Config = FaithUnConfig

    def load(self) -> Splits:
        if self.data is None:
            raise DataError(
                "faithun",
                "the data set has no hub id; download the authors' files and give them with --data DIR",
            )
        clusters = read_clusters(self.data, self.config.clusters, self.config.option_seed)
        places = [Path(self.config.splits)] if self.config.splits else [self.data / "splits", self.data]
        place = next((p for p in places if (p / INDEX_FILES["forget"]).is_file()), None)
        if place is None:
            raise DataError(
                places[0],
                f"expected the published index files {', '.join(INDEX_FILES.values())}; "
                "name their directory with the setting 'splits' of this benchmark",
            )
        splits = {
            split: tuple(clusters[index] for index in chosen)
            for split, chosen in read_indices(place, len(clusters)).items()
        }
        if self.config.instruct is not None:
            splits["instruct"] = read_instructions(self.config.instruct, self.config.instruct_size, self.hub)
        return Splits(splits)


class FaithUnMini(_FaithUn):
    """The embedded world in FaithUn's schema: 600 clusters about 120 people who do not exist.

    It needs no file and no network, and one small model trained on it serves tofu-mini as well. False options
    are drawn like the values, so chance is 1/3 exactly. A base question is asked three times, each time with
    two other false options, and counts once: luck with the options is half of the variance of one answer.
    The multi-hop answers are taught, not inferred.
    Metrics are those of ``faithun``, but by default only likelihoods are compared: so small a model often
    generates a word that was not offered, and its twin, which knows nothing, gets .04 and not 1/3.
    """

    name = "faithun-mini"
    forget_metric = "accuracy"
    curve_metrics = ("accuracy", "exact_match")
    retain_metric = ("retain", "accuracy")
    Config = FaithUnMiniConfig
    utility_tasks = "harness.benchmarks.world.tasks:tasks"
    reports = (*reported(("accuracy",)), GENERAL)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.reports = (*self.reports, GENERAL)

    def load(self) -> Splits:
        return Splits({split: facts for split, facts in world().faithun.items() if split != "rest"})

    def training(self, splits: Splits) -> Training:
        return world().training
