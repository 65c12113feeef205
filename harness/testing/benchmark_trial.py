"""A benchmark under trial: its facts, and what two-layer models get on a few of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from ..core.base import Benchmark
from ..core.formulas import Formula, described
from ..core.hub import Hub
from ..core.types import Generate, Measure, Sample, Splits
from ..errors import HarnessError
from ..model.embedded import word_tokenizer
from ..model.tokens import PromptTokenizer
from ..scoring.scorer import Scorer
from . import sandbox
from .rules import Broken, Skipped

FEW = 3
"""Facts of each split that a model is asked about."""

SLACK = 1e-6
"""How far rounding may carry a value out of its range."""


class NoHub(Hub):
    """A hub that is not there."""

    def fetch(self, kind: str, repo: str, patterns: list[str], revision: str | None = None) -> NoReturn:
        raise HarnessError(f"needs_data is False, and it asked the hub for the {kind} {repo}")


@dataclass
class BenchmarkTrial:
    """A benchmark under trial, with its facts and what two models got on a few of them."""

    cls: type[Benchmark]
    given: dict[str, Any]
    data: Path | None = None

    def make(self) -> Benchmark:
        """A fresh instance."""
        made = self.cls(self.cls.Config(**self.given))
        made.data = self.data
        if not made.needs_data:
            made.hub = NoHub()
        return made

    @cached_property
    def _loaded(self) -> tuple[Benchmark, Splits] | Exception:
        made = self.make()
        try:
            with sandbox.Watch().watching(1):
                return made, made.load()
        except Exception as error:
            return error

    @cached_property
    def benchmark(self) -> Benchmark:
        """An instance whose facts are loaded; rules other than the first are skipped where that fails."""
        if isinstance(self._loaded, Exception):
            raise Skipped("it does not load")
        return self._loaded[0]

    @property
    def splits(self) -> Splits:
        """Its facts."""
        assert self.benchmark
        return self._loaded[1]  # type: ignore[index]

    @cached_property
    def measures(self) -> list[Measure]:
        """Every measure of every fact."""
        return list(self.benchmark.measures(self.splits))

    @cached_property
    def asked(self) -> list[Measure]:
        """All measures of a few facts, so that each metric of each split is among them."""
        few = {(name, fact.id) for name in self.splits for fact in self.splits[name][:FEW]}
        times: Counter[tuple[str, str]] = Counter()
        chosen = []
        for measure in self.measures:
            of = measure.split, measure.metric
            if (measure.split, measure.fact_id) in few or times[of] < FEW - 1:
                times[of] += 1
                chosen.append(measure)
        return chosen

    @cached_property
    def tokenizer(self) -> Any:
        """One that knows every word of what is asked."""
        texts = []
        for request in (request for measure in self.asked for request in measure.requests):
            texts += [request.prompt.text, "" if isinstance(request, Generate) else request.continuation]
        return word_tokenizer(("Question: Answer:", *texts))

    def samples(self, family: str = "llama", dtype: str = "float32", seed: int = 0) -> list[Sample]:
        """What a random model gets."""
        from ..model import loading

        model = sandbox.tiny_model(self.tokenizer, family, seed).to(loading.DTYPES[dtype])
        return Scorer(model, PromptTokenizer(self.tokenizer)).measure(self.asked)

    @cached_property
    def own(self) -> list[Sample]:
        """What the model under test gets."""
        return self.samples()

    def formula(self, split: str, metric: str) -> Formula | None:
        """How a metric is described, or None where it is not declared."""
        for reported in self.benchmark.reports:
            if reported.metric == metric and split in reported.splits:
                return described(reported.formula)
        return None

    def judge(self, values: Iterator[tuple[str, str, float]]) -> None:
        """Raise Broken for a number that is not declared, not finite, or outside its range."""
        for split, metric, value in values:
            name = metric if split == "all" else f"{split}.{metric}"
            if not (isinstance(value, float | int) and isfinite(value)):
                raise Broken(f"{name} is {value!r}")
            if not self.benchmark.reports:
                continue  # that it declares nothing is told by a rule of its own
            if (found := self.formula(split, metric)) is None:
                raise Broken(f"{name} is not among its `reports`")
            if not found.low - SLACK <= value <= found.high + SLACK:
                raise Broken(f"{name} is {value:g}, and {metric} lies in {found.range}")
