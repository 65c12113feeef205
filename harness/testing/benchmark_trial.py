"""A benchmark on trial: its facts, and the samples of two-layer models on a few of them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite
from pathlib import Path
from typing import Any, NoReturn

from ..core.base import Method
from ..core.benchmark import Benchmark
from ..core.formulas import Formula, described
from ..core.hub import Hub
from ..core.jobs import Ask
from ..core.types import Beginning, LogLikelihood, Measure, Sample, Splits
from ..engine.protocol import with_protocol
from ..engine.under_test import ModelUnderTest
from ..engine.unlearning import unlearn
from ..errors import HarnessError
from ..model import loading
from ..model.embedded import word_tokenizer
from ..model.tokens import PromptTokenizer
from ..scoring.scorer import Scorer
from . import sandbox
from .observe import Watch
from .rules import Skipped, Violation

N_FACTS = 3
"""Facts of each split that a model is scored on."""

ROUNDING = 1e-6
"""How far rounding may carry a value out of its range."""


class NoHub(Hub):
    """A hub that is not there."""

    def fetch(self, kind: str, repo: str, patterns: list[str], revision: str | None = None) -> NoReturn:
        raise HarnessError(f"needs_data is False, and it asked the hub for the {kind} {repo}")


class NeverForgets(ModelUnderTest):
    """A model under test whose forget scores stay high, so that training takes all its steps."""

    def score(
        self, splits: Splits, metrics: Sequence[str] | None = None, ask: Ask | None = None
    ) -> list[Sample]:
        return [replace(sample, value=inf) for sample in super().score(splits, metrics, ask)]


@dataclass
class BenchmarkTrial:
    """A benchmark on trial."""

    cls: type[Benchmark]
    settings: dict[str, Any]
    data: Path | None = None

    def make(self) -> Benchmark:
        """A fresh instance."""
        benchmark = self.cls(self.cls.Config(**self.settings))
        benchmark.data = self.data
        if not benchmark.needs_data:
            benchmark.hub = NoHub()
        return benchmark

    @cached_property
    def attempt(self) -> tuple[Benchmark, Splits] | Exception:
        """An instance and the facts it loaded, or what was raised."""
        benchmark = self.make()
        try:
            with Watch().watching(1):
                return benchmark, benchmark.load()
        except Exception as error:
            return error

    @cached_property
    def benchmark(self) -> Benchmark:
        """An instance whose facts are loaded; rules other than the first are skipped where that fails."""
        if isinstance(self.attempt, Exception):
            raise Skipped("it does not load")
        return self.attempt[0]

    @property
    def splits(self) -> Splits:
        """Its facts."""
        assert self.benchmark
        return self.attempt[1]  # type: ignore[index]

    @cached_property
    def measures(self) -> list[Measure]:
        """Every measure of every fact."""
        return list(self.benchmark.measures(self.splits))

    @cached_property
    def few_measures(self) -> list[Measure]:
        """All measures of a few facts of each split, and some of each metric of each split."""
        few = {(name, fact.id) for name in self.splits for fact in self.splits[name][:N_FACTS]}
        counts: Counter[tuple[str, str]] = Counter()
        chosen = []
        for measure in self.measures:
            of = measure.split, measure.metric
            if (measure.split, measure.fact_id) in few or counts[of] < N_FACTS - 1:
                counts[of] += 1
                chosen.append(measure)
        return chosen

    @cached_property
    def tokenizer(self) -> Any:
        """A tokenizer that knows the words of the few measures, of the few facts and of a refusal."""
        texts = [f"{fact.question} {fact.answer}" for facts in self.few_facts.values() for fact in facts]
        for request in (request for measure in self.few_measures for request in measure.requests):
            texts += [request.prompt.text, request.prompt.opening]
            match request:
                case LogLikelihood():
                    texts.append(request.continuation)
                case Beginning():
                    texts.append(request.text)
        return word_tokenizer((*sandbox.FRAME, *texts))

    @cached_property
    def few_facts(self) -> Splits:
        """A few facts of each split."""
        return Splits({name: facts[:N_FACTS] for name, facts in self.splits.items()})

    def samples_of(self, family: str = "llama", dtype: str = "float32", seed: int = 0) -> list[Sample]:
        """The samples of a random model."""
        model = sandbox.tiny_model(self.tokenizer, family, seed).to(loading.DTYPES[dtype])
        return Scorer(model, PromptTokenizer(self.tokenizer)).measure(self.few_measures)

    @cached_property
    def samples(self) -> list[Sample]:
        """The samples of the model that most rules look at."""
        return self.samples_of()

    def unlearn(self, method: type[Method]) -> None:
        """Let a method take all its steps on a few facts; the twin is another random model."""
        tokens = PromptTokenizer(self.tokenizer)
        config = with_protocol(method, sandbox.small(method, {}), sandbox.PROTOCOL)
        with tempfile.TemporaryDirectory(prefix="harness-check-") as folder, sandbox.quiet():
            twin = Path(folder) / "twin"
            loading.save(sandbox.tiny_model(self.tokenizer, seed=1), self.tokenizer, twin, {})
            model = sandbox.tiny_model(self.tokenizer)
            facts, protocol = self.few_facts, sandbox.PROTOCOL
            subject = NeverForgets(model, tokens, self.benchmark, facts, protocol, twin, noted=False)
            unlearn(subject, method(config), seed=0)

    def formula(self, split: str, metric: str) -> Formula | None:
        """How a metric is described, or None where it is not declared."""
        for reported in self.benchmark.reports:
            if reported.metric == metric and split in reported.splits:
                return described(reported.formula)
        return None

    def check_range(self, values: Iterator[tuple[str, str, float]]) -> None:
        """Raise Violation for a number that is not declared, not finite, or outside its range."""
        for split, metric, value in values:
            name = metric if split == "all" else f"{split}.{metric}"
            if not (isinstance(value, float | int) and isfinite(value)):
                raise Violation(f"{name} is {value!r}")
            if not self.benchmark.reports:
                continue  # a rule of its own says that it declares nothing
            if (formula := self.formula(split, metric)) is None:
                raise Violation(f"{name} is not among its `reports`")
            if not formula.low - ROUNDING <= value <= formula.high + ROUNDING:
                raise Violation(f"{name} is {value:g}, and {metric} lies in {formula.range}")
