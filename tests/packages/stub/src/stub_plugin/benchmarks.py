"""The stub benchmark, and others that differ from it in one thing each."""

import json

from pydantic import Field

from harness.core.benchmark import Benchmark
from harness.core.config import Config
from harness.core.formulas import formula
from harness.core.types import Example, Generate, LogLikelihood, Measure, Prompt, Reported, Splits, Training
from harness.errors import DataError
from harness.scoring.metrics import exact_match, means, probability
from stub_plugin.facts import FOODS, TOWNS, TRADES, facts


@formula("own - twin", -1, 1, "nearer to 0", "0")
def distance(own, twin):
    return own - twin


class Stub(Benchmark):
    """Eight facts to forget, eight to keep."""

    name = "stub"
    forget_metric = "probability"
    curve_metrics = ("probability", "exact_match")
    retain_metric = ("retain", "probability")

    class Config(Config):
        epochs: int = Field(20, ge=1, description="passes when training the targets")
        threshold: float = Field(0.02, ge=0, le=1, description="probability that counts as forgotten")

    def load(self):
        return Splits(
            {
                "forget": facts("forget", "Where does {} live ?", TOWNS),
                "retain": facts("retain", "What does {} do ?", TRADES),
                "instruct": facts("instruct", "What does {} eat ?", FOODS),
            }
        )

    def measures(self, splits):
        for split in ("forget", "retain"):
            for fact in splits.get(split, ()):
                said = (Generate(Prompt(fact.question), 2),)
                told = (LogLikelihood(Prompt(fact.question), fact.answer),)
                right = fact.answer
                yield Measure(
                    split, "exact_match", fact.id, said, lambda text, right=right: exact_match(text, right)
                )
                yield Measure(split, "probability", fact.id, told, probability)

    def threshold(self, splits):
        return self.config.threshold

    def chance(self, splits):
        return 0.125

    def aggregates(self, samples):
        return {"utility": means(samples)["retain", "probability"]}

    def training(self, splits):
        retain, forget = (
            tuple(Example(Prompt(f.question), f.answer, f.id) for f in splits[name])
            for name in ("retain", "forget")
        )
        return Training(retain + forget, retain, (), self.config.epochs, 1e-2, 16)


class Two(Stub):
    """The same facts, trained on alike, with another threshold."""

    name = "stub-two"

    def threshold(self, splits):
        return 0.5


class Bare(Stub):
    """No recipe for a target and no instructions."""

    name = "stub-bare"

    def load(self):
        return Splits({name: part for name, part in super().load().items() if name != "instruct"})

    def training(self, splits):
        return None


class Compared(Stub):
    """The same facts, set against the twin's."""

    name = "stub-compared"
    reports = (
        Reported("distance", ("all",), distance, ("twin",)),
        Reported("probability", ("retain",), probability),
        Reported("probability", ("holdout",), probability, better="lower"),
    )

    def against_twin(self, samples, twin):
        own, other = (means(s)["forget", "probability"] for s in (samples, twin))
        return {"distance": distance(own, other)}


class Alone(Compared):
    """The same, where no twin can be made."""

    name = "stub-alone"

    def training(self, splits):
        return None


class Files(Stub):
    """The same facts from a file."""

    name = "stub-files"
    needs_data = True

    def load(self):
        path = self.data / "facts.json"
        try:
            towns = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DataError(path, f"not the list of towns it should be: {error}") from error
        return Splits({**super().load(), "forget": facts("forget", "Where does {} live ?", towns)})
