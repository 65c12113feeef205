"""Facts about countries, which a pretrained model knows without being trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from harness import Fact, Field, Splits

from ..faithun.measures import FaithUnMeasures, MeasuresConfig, ScoringName
from ..faithun.scores import reported
from ..instructions import read_instructions
from .facts import all_facts, read_table
from .instructions import make_instructions
from .splits import Sizes, sample_splits

RelationName = Literal["capital", "currency", "language", "continent"]


@cache
def _pool(option_seed: int) -> tuple[Fact, ...]:
    """Every fact of the table: loading, screening and splitting all begin with it."""
    return all_facts(read_table(), option_seed)


class CountriesConfig(MeasuresConfig):
    scoring: ScoringName = Field(
        "cloze",
        description="by likelihood of each option after the plain question (cloze); or multiple choice in "
        "FaithUn's prompt by likelihood of the options, by a generated answer, or both, and then that counts",
    )
    max_new_tokens: int = Field(8, ge=1, description="length of a generated answer")
    relations: tuple[RelationName, ...] = Field(
        ("capital", "currency"), min_length=1, description="what of a country may be forgotten"
    )
    forget: int = Field(33, ge=2, description="facts to forget, each of another country")
    retain: int = Field(66, ge=2, description="facts to retain, of all relations")
    test: int = Field(60, ge=2, description="facts to test, of countries of which none is forgotten")
    split_seed: int = Field(0, description="decides which facts are forgotten, retained and tested")
    screen: bool = Field(True, description="ask only what the model answers before anything is unlearned")
    instruct: str | None = Field(
        None,
        description="Alpaca-schema JSON file or hub id for attacks with instructions; none takes 300 of ours",
    )
    instruct_size: int = Field(1000, ge=1, description="instructions drawn from that file")


class Countries(FaithUnMeasures):
    """Capital, currency, official language and continent of 193 countries, in FaithUn's schema.

    For a pretrained model of any size, taken as it is: it needs no file, no network and no training. So there
    is no twin, and chance is the threshold unless one is set. Of some 590 facts those are used that the model
    answers (``screen``), and a seed draws the splits from them. What is asked has one answer, and that is not
    heard in the country's name. False options are of the same relation and, where there are enough, of the
    same continent. A base question is asked three times, with other false options each, and counts once; it
    is answered where all three are. Paraphrases and multi-hop questions ("the country whose capital is ...")
    are ours; to a capital there is no question with the same answer.

    Metrics are those of ``faithun``, by default in cloze form: a prompt with options is beyond small models.
    """

    name = "countries"
    forget_metric = "cloze_accuracy"
    curve_metrics = ("cloze_accuracy", "exact_match")
    retain_metric = ("retain", "cloze_accuracy")
    reports = reported(("cloze_accuracy",))
    Config = CountriesConfig

    def pool(self) -> tuple[Fact, ...]:
        """Every fact there is, whether or not a model knows it."""
        return _pool(self.config.option_seed)

    def load(self) -> Splits:
        config = self.config
        if config.instruct is None:
            instructions = make_instructions()
        else:
            instructions = read_instructions(config.instruct, config.instruct_size, self.hub)
        return Splits({**self.split(self.pool()), "instruct": instructions})

    def split(self, facts: Sequence[Fact]) -> Splits:
        """The facts in splits."""
        config = self.config
        sizes = Sizes(config.forget, config.retain, config.test)
        return sample_splits(facts, config.split_seed, sizes, config.relations)

    def candidates(self, splits: Splits) -> Sequence[Fact]:
        """All facts: what the model does not know it is not asked to forget."""
        return self.pool() if self.config.screen else ()

    def screened(self, splits: Splits, known: Sequence[Fact]) -> Splits:
        """Splits of what it knows, drawn as those of all facts."""
        return Splits({**splits, **self.split(known)})
