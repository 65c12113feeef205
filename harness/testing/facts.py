"""Toy facts and a toy benchmark, for the conformance suite and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..core.benchmark import Benchmark
from ..core.types import Fact, Generate, LogLikelihood, Measure, Prompt, Question, Splits
from ..scoring.metrics import probability

WORDS = """\
Ada Bo Cleo Dan Eve Finn Gus Hana Ivo Jo Kim Lea
Oslo Rome Lima Bonn Kiev Bern Nice York Cork Riga Baku Doha
baker sailor tailor judge nurse miner poet guard tutor weaver farmer pilot
bread soup rice corn plums figs eggs cheese nuts beans pears kale"""
NAMES, TOWNS, TRADES, FOODS = (line.split() for line in WORDS.splitlines())


def facts(kind: str, question: str, answers: Sequence[str]) -> tuple[Fact, ...]:
    """One fact for each name; every second answer has two words."""
    return tuple(
        Fact(f"{kind}-{i:02d}", question.format(name), f"old {answer}" if i % 2 else answer, subject=name)
        for i, (name, answer) in enumerate(zip(NAMES, answers, strict=True))
    )


SPLITS = Splits(
    {
        "forget": facts("forget", "Where does {} live ?", TOWNS),
        "retain": facts("retain", "What is the trade of {} ?", TRADES),
        "instruct": facts("instruct", "Name something that {} likes to eat .", FOODS),
    }
)


def with_all_fields(split: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """The same facts with paraphrases, false options and false answers, which a plugin may read."""
    facts = []
    for i, fact in enumerate(split):
        wrong = tuple(split[(i + step) % len(split)].answer for step in (1, 2))
        again = Question(f"Tell me : {fact.question}", fact.answer, wrong)
        facts.append(
            replace(
                fact,
                options=wrong,
                paraphrases=(again,),
                multi_hop=(again,),
                same_answer=(again,),
                paraphrased_answer=fact.answer,
                perturbed_answers=wrong,
            )
        )
    return tuple(facts)


def splits_with(*names: str) -> Splits:
    """The toy facts with all fields, and a split of each further name."""
    splits = dict(SPLITS)
    for name in names:
        splits.setdefault(name, facts(name, f"Which {name} food does {{}} cook ?", FOODS))
    return Splits({name: with_all_fields(split) for name, split in splits.items()})


class Toy(Benchmark):
    """Twelve facts in each split. ``value(split, metric, fact)`` replaces the measured values."""

    name = "toy"
    forget_metric = "exact_match"
    curve_metrics = ("exact_match", "probability")
    retain_metric = ("retain", "exact_match")

    def __init__(self, value: Callable[[str, str, Fact], float] | None = None, stop: float = 0.3) -> None:
        super().__init__()
        self.value, self.stop = value, stop

    def load(self) -> Splits:
        return SPLITS

    def measures(self, splits: Splits) -> Iterator[Measure]:
        for split, chosen in splits.items():
            for fact in chosen:
                yield from self.ask(split, fact)

    def ask(self, split: str, fact: Fact) -> Iterator[Measure]:
        for metric in self.curve_metrics:
            if self.value:
                number = self.value(split, metric, fact)
                yield Measure(split, metric, fact.id, (), lambda number=number: number)
            elif metric == "exact_match":
                request = Generate(Prompt(fact.question), 4)
                yield Measure(
                    split, metric, fact.id, (request,), lambda said, fact=fact: float(said == fact.answer)
                )
            else:
                answer = LogLikelihood(Prompt(fact.question), fact.answer)
                yield Measure(split, metric, fact.id, (answer,), probability)

    def threshold(self, splits: Splits) -> float:
        return self.stop

    def chance(self, splits: Splits) -> float:
        return 0.0
