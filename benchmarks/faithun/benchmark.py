"""FaithUn: does unlearning a fact take what depends on it, and only that? (arXiv 2502.19207)

A cluster is a base question with paraphrases, multi-hop questions and questions of other subjects with the
same answer. Accuracy is multiple choice among three options; training is on the plain question.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import DataError, Fact, Field, Splits, Training

from ..instructions import read_instructions
from ..world.build import world
from .files import INDEX_FILES, read_clusters, read_indices
from .measures import FaithUnMeasures, MeasuresConfig, ScoringName
from .scores import GENERAL, reported


class FaithUnConfig(MeasuresConfig):
    scoring: ScoringName = Field(
        "both",
        description="multiple choice by likelihood of the options, by a generated answer as in the paper, or "
        "both, and then the generated answer counts; cloze is by their likelihood after the plain question",
    )
    max_new_tokens: int = Field(32, ge=1, description="length of a generated answer")
    splits: str | None = Field(
        None, description="directory of the published index files; default: the data directory or its splits/"
    )
    screen: bool = Field(
        False, description="ask only what the model answers before anything is unlearned (Default FS)"
    )
    clusters: int = Field(
        664, ge=1, description="base questions in the file: the index files are made for that many"
    )
    instruct: str | None = Field(
        None,
        description="Alpaca-schema JSON file or hub id for attacks with instructions; none leaves them out",
    )
    instruct_size: int = Field(1000, ge=1, description="instructions drawn for the attacks that use them")


class FaithUnMiniConfig(MeasuresConfig):
    scoring: ScoringName = Field(
        "likelihood",
        description="multiple choice by likelihood of the options, by a generated answer, or both, and then "
        "the generated answer counts; cloze is by their likelihood after the plain question",
    )
    max_new_tokens: int = Field(8, ge=1, description="length of a generated answer")


class FaithUn(FaithUnMeasures):
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

    def candidates(self, splits: Splits) -> Sequence[Fact]:
        """The facts of the published splits, where they are to be screened."""
        asked = ("forget", "retain", "test") if self.config.screen else ()
        return [fact for split in asked for fact in splits.get(split, ())]


class FaithUnMini(FaithUnMeasures):
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
