"""An unlearning job: what a method is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..core import jobs
from ..core.base import Method
from ..core.batch import Batch, Stage
from ..core.keys import derive
from ..core.optimizers import adamw
from ..core.types import Fact, Metric, Splits
from ..errors import HarnessError, ModelError
from ..model import loading, models, sharding
from ..model.lora import Adapter
from ..model.steps import plain_steps, staged
from .job import FactsJob, Training
from .note import check
from .pretrained import shapes, take
from .rates import RateSearch
from .under_test import ModelUnderTest


@dataclass
class UnlearningJob(FactsJob, jobs.UnlearningJob):
    """The original model with the facts to forget and to keep, and how far a method has come."""

    axis = "init"

    metrics: list[Metric] = field(default_factory=list)
    """The points of the unlearning curve."""
    original: models.Weights = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    """Splits that the method declared."""
    adapter: Adapter | None = None
    """The adapters that the last rate trained, where :attr:`keeps_adapter`."""
    keeps_adapter: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.original = models.snapshot(self.model, self.subject.savings.offload)

    @property
    def data(self) -> Splits:
        splits = self.subject.splits
        return Splits({name: splits[name] for name in sorted(self.reads) if name in splits})

    @property
    def threshold(self) -> float:
        return self.subject.threshold.value

    def forget_score(self, metric: str | None = None) -> float:
        metric = metric or self.benchmark.forget_metric
        samples = self.subject.score(Splits({"forget": self.forget}), [metric])
        if not samples:
            raise HarnessError(
                f"The benchmark '{self.benchmark.name}' has no metric '{metric}' on its forget set."
            )
        return sum(s.value for s in samples) / len(samples)

    def remembered(self, facts: Sequence[Fact]) -> set[str]:
        return self.subject.remembered(facts)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        models.restore(self.model, weights)

    def load_retrained(self) -> None:
        subject, path = self.subject, self.subject.retrain
        if path is None:
            raise HarnessError(
                "This benchmark cannot train a model without its forget set: there is no twin."
            )
        device = "cpu" if sharding.is_sharded(self.model) else None
        twin, tokenizer = loading.load(path, subject.dtype, subject.trust_remote_code, device)
        if subject.noted:
            check(path, twin)
        elif shapes(twin) != shapes(self.model):
            raise _no_twin(path, "its weights have other names or shapes")
        elif tokenizer.get_vocab() != self.tokens.tokenizer.get_vocab():
            raise _no_twin(path, "its tokenizer has other tokens")
        models.restore(self.model, twin.state_dict())

    def load_pretrained(self, path: Path) -> str:
        subject = self.subject
        texts = (text for fact in self.forget for text in (fact.question, fact.answer))
        tokenizer, code = self.tokens.tokenizer, subject.trust_remote_code
        return take(self.model, tokenizer, path, texts, subject.dtype, code)

    def train(
        self,
        loss: Callable[[nn.Module, Any], Tensor | Iterable[Tensor]],
        learning_rate: float,
        steps: int,
        batch_size: int = 32,
        check: Callable[[int], bool] = lambda step: False,
        facts: Sequence[Fact] | None = None,
    ) -> None:
        seed, micro = derive(self.seed, "order"), self.subject.micro_batch
        data = self.encode(facts or ())
        run = Training(
            "train",
            steps,
            (lambda: plain_steps(self.tokens, data, batch_size, steps, seed, micro))
            if data
            else self._batches(batch_size, [Stage(steps)]),
            loss,
            lambda: nullcontext(list(self.model.parameters())),
            lambda parameters, rate: adamw(parameters, rate, weight_decay=0.01),
            lambda step, rate: check(step),
        )
        run.at(self, learning_rate)

    def run_protocol(self, method: Method) -> None:
        search = RateSearch(self, method, self.forget, self.original, self.forget_score, self._batches)
        self.metrics += search.run()

    def _batches(self, batch_size: int, stages: Sequence[Stage]) -> Callable[[], Iterator[list[Batch]]]:
        forget, retain = self.encode(self.forget), self.encode(self.retain)

        def steps(number: int, stage: Stage) -> Iterator[list[Batch]]:
            seed = derive(self.seed, "order", *(["stage", str(number)] if number else []))
            return staged(self.tokens, forget, retain, batch_size, stage, seed, self.subject.micro_batch)

        return lambda: chain.from_iterable(steps(*each) for each in enumerate(stages))


def _no_twin(path: Path, why: str) -> ModelError:
    return ModelError(f"The model in {path} is no twin of the original: {why}.")


def unlearn(
    subject: ModelUnderTest,
    method: Method,
    seed: int,
    keep_original: bool = False,
    keep_adapter: bool = False,
) -> UnlearningJob:
    """Let ``method`` change ``subject.model`` in place; settings left open take the protocol's value."""
    job = UnlearningJob(subject, method.config, seed, reads=method.reads, keeps_adapter=keep_adapter)
    method.unlearn(job)
    if not keep_original:
        job.original = {}  # nobody needs it any more, and it is as large as the model
    return job
