"""A scoring that cannot tell the original from chance: check-benchmark says which other can."""

from __future__ import annotations

import pytest

from harness.cli.scorings import others
from harness.runner.options import RunOptions

PLUGIN = '''
from typing import Literal

from harness import Benchmark, Config, Fact, Field, Generate, Measure, Prompt, Splits

FACTS = tuple(Fact(f"f{i}", "Where does Ada live ?", "Oslo", subject=f"s{i}") for i in range(12))


class Scored(Benchmark):
    """Of its ways to score, one is always right and the others are guesses."""

    name = "scored"
    forget_metric = "guess"
    curve_metrics = ("guess",)
    retain_metric = ("retain", "guess")

    class Config(Config):
        scoring: Literal["blind", "blinder", "clear", "clear-too"] = Field("blind", description="how")

    def __init__(self, config=None):
        super().__init__(config)
        ways = {"blind": "guess", "blinder": "nothing"}
        self.forget_metric = ways.get(self.config.scoring, "always")
        self.curve_metrics, self.retain_metric = (self.forget_metric,), ("retain", self.forget_metric)

    def load(self):
        return Splits({"forget": FACTS[:8], "retain": FACTS[8:]})

    def measures(self, splits):
        values = {"guess": lambda i: float(i % 2), "nothing": lambda i: 0.0, "always": lambda i: 1.0}
        for split, facts in splits.items():
            for i, fact in enumerate(facts):
                value = values[self.forget_metric](i)
                asked = (Generate(Prompt(fact.question), 1),)
                yield Measure(split, self.forget_metric, fact.id, asked, lambda text, value=value: value)

    def chance(self, splits):
        return 0.5
'''


@pytest.fixture
def options(world):
    """Those of a check of a benchmark with several scorings."""
    path = world.folder / "scored.py"
    path.write_text(PLUGIN)

    def make(**settings):
        places = {"model": str(world.model), "cache": world.cache, "results": world.path()}
        given = {"plugins": [path], "seeds": 1, "jobs": 1, "utility": "none", "benchmarks": ["scored"]}
        return RunOptions.of(places | given | {"settings": settings})

    return make


def test_each_other_metric_is_tried_once_on_the_original_alone(options, world):
    said = list(others(options(**{"scored.scoring": "blind", "refusal.epochs": 1}), "scored"))
    assert [sentence.split(" [")[0] for sentence in said] == [
        "scoring=blinder cannot either (0.000",
        "scoring=clear can: give --set scored.scoring=clear (1.000",
    ]
    assert all(sentence.endswith("], chance 0.500)") for sentence in said)
    assert len(list((world.path() / "cells").glob("*.parquet"))) == 2


def test_the_scoring_that_was_chosen_is_not_tried_again(options):
    said = list(others(options(**{"scored.scoring": "clear"}), "scored"))
    assert [sentence.split(" ")[0] for sentence in said] == ["scoring=blind", "scoring=blinder"]


def test_nothing_is_said_of_a_benchmark_without_such_a_setting(options):
    assert list(others(options().model_copy(update={"benchmarks": ("stub",)}), "stub")) == []
