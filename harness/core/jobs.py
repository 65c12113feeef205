"""What a plugin is handed: the job of a method, an attack or an analysis. These docstrings are the manual."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .batch import Encoded, TokenBatch
from .benchmark import Benchmark
from .tokenizer import PromptTokenizer
from .types import Fact, Prompt, Request, Sample, Splits

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


Ask = Callable[[Request], Request]
"""Another way to ask for the same thing."""

Look = Callable[[int, float], None]
"""What is done at a checkpoint: called with the step and the learning rate."""

MakeOptimizer = Callable[[list["nn.Parameter"], float], "torch.optim.Optimizer"]
"""Makes an optimiser of parameters at a learning rate."""

Gradients = dict[str, dict["nn.Parameter", "Tensor"]]
"""By name of a term, its gradient with respect to each parameter that it reaches."""

Which = Literal["original", "unlearned", "attacked"]
"""A model that an analysis looks at."""


class Job(Protocol):
    """What all jobs offer: the model, the texts, random numbers of the cell's seed, notes and progress."""

    config: Any
    """The plugin's settings, as in ``self.config``."""
    seed: int
    """The cell's seed. Draw from :attr:`rng` or :meth:`generator`, which follow it."""
    notes: dict[str, Any]
    """Facts about this run for the cell's notes; what JSON can hold."""

    @property
    def model(self) -> nn.Module:
        """The model to change in place, a causal language model of transformers."""

    @property
    def tokens(self) -> PromptTokenizer:
        """The model's tokenizer with the harness's conventions."""

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark whose facts these are."""

    @property
    def rng(self) -> random.Random:
        """Random numbers of this job, the same for a seed."""

    def random(self, *names: str) -> random.Random:
        """A stream of random numbers of its own for each sequence of names, the same for a seed."""

    def generator(self, *names: str) -> torch.Generator:
        """The same as a generator of torch, on the CPU."""

    def encode(self, facts: Sequence[Fact], answer: str | None = None) -> list[Encoded]:
        """Facts as training texts: plain question and answer, or a passage; not in the evaluation's template.

        ``answer`` takes the place of every fact's own, such as a refusal.
        """

    def runs(self, data: Sequence[Encoded], size: int = 32) -> Iterator[TokenBatch]:
        """Texts in their order, ``size`` at a time on the model's device, to look at and not to train on.

        Fewer at a time where the run asks for smaller micro-batches.
        """

    def sample(
        self, prompts: Sequence[Prompt], n: int, max_new_tokens: int, *names: str, temperature: float = 1.0
    ) -> list[list[tuple[int, ...]]]:
        """``n`` sampled answers to each prompt as token ids without the end token, the same for a seed."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far something long has come."""


class Step(Protocol):
    """One optimisation step of a gradient method: its texts and its loss. The weights are as they are now."""

    @property
    def model(self) -> nn.Module:
        """The model that trains."""

    def gradients(self, by_name: bool = False) -> Gradients:
        """Compute the loss on the step's texts; the gradients of its terms by name, or their sum as "".

        May be called again, with other weights.
        """

    def gradient(self, term: Tensor) -> dict[nn.Parameter, Tensor]:
        """The gradient of one more scalar, by parameter."""


class UnlearningJob(Job, Protocol):
    """What a method gets: the original model to change, the forget and retain set, and the protocol."""

    original: Mapping[str, Tensor]
    """The original's weights by name: where every rate starts, and the reference of methods that need one."""

    @property
    def data(self) -> Splits:
        """The splits that it declared in ``reads``, as far as the benchmark has them."""

    @property
    def forget(self) -> tuple[Fact, ...]:
        """The facts to forget."""

    @property
    def retain(self) -> tuple[Fact, ...]:
        """The facts to keep."""

    @property
    def threshold(self) -> float:
        """The forgetting threshold: the forget metric counts as forgotten at or below it.

        The retrain twin's own score, chance where there is no twin, or what the benchmark says instead.
        """

    def forget_score(self, metric: str | None = None) -> float:
        """The mean over the forget set, now, of ``metric`` or of the benchmark's forget metric.

        Raises HarnessError where the benchmark does not measure it there.
        """

    def remembered(self, facts: Sequence[Fact]) -> set[str]:
        """Ids of the forget facts that are not forgotten yet: forget metric above the threshold."""

    def train(
        self,
        loss: Callable[[nn.Module, Any], Tensor | Iterable[Tensor]],
        learning_rate: float,
        steps: int,
        batch_size: int = 32,
        check: Callable[[int], bool] = lambda step: False,
        facts: Sequence[Fact] | None = None,
    ) -> None:
        """Take ``steps`` of AdamW on ``loss``, from the weights as they are, by the engine's own loop.

        A :class:`Batch` of forget and retain facts, or with ``facts`` a :class:`TokenBatch` of those, comes
        in an order of the seed, in micro-batches where the run asks for them; cost and progress are kept.
        ``check(step)`` ends it early. For an :meth:`Method.unlearn` or :meth:`Method.finish` of its own; a
        method that overrides only ``loss`` needs none of this.
        """

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Put weights back, in place: ``job.restore(job.original)``."""

    def run_protocol(self, method: Any) -> None:
        """Run the shared protocol: the lowest learning rate of the grid that reaches the threshold.

        Each rate starts from the original and stops at the first check at or below the threshold. Where no
        rate reaches it, the model of the highest is left, and ``notes['forgotten']`` says so.
        """

    def load_retrained(self) -> None:
        """Take the weights of the twin that never saw the forget set. Raises HarnessError without one."""

    def load_pretrained(self, path: Path) -> str:
        """Take the weights in a model's directory, or merge the adapter there into the original.

        Returns which of both it was, ``weights`` or ``adapter``. Raises ModelError where it was not made from
        the original: another architecture, other shapes, another tokenizer; or where a weight is not finite.
        """


class AttackJob(Job, Protocol):
    """What an attack gets: the unlearned model, the splits it declared, and a way to be scored."""

    data: Splits
    """The splits the attack declared in ``reads``, and nothing else."""
    weights: Mapping[str, Tensor]
    """The unlearned model's weights, to start from again."""
    original: Mapping[str, Tensor]
    """Weights of the model before unlearning, for an attack that ``needs_original``; empty for others."""
    scored: tuple[Fact, ...]
    """The facts the attack is scored on: all of the forget set, unless :meth:`score_only` says else."""

    def answered(self, facts: Sequence[Fact]) -> set[str]:
        """Ids of the facts the model still answers as well as can be: forget metric at 1."""

    def score_only(self, facts: Sequence[Fact]) -> None:
        """Choose the facts the attack is scored on, before the first checkpoint.

        Raises HarnessError for fewer than two: no interval could be given.
        """

    def restore(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """Put weights back, in place; those of the unlearned model unless others are given."""

    def score(self, facts: Sequence[Fact], ask: Ask | None = None) -> list[Sample]:
        """The benchmark's curve metrics of ``facts`` on the model as it is now."""

    def checkpoint(
        self, step: int | None = None, learning_rate: float | None = None, ask: Ask | None = None
    ) -> None:
        """Score the model as it is now; the cell's score is the maximum over all checkpoints.

        ``step`` and ``learning_rate`` say where on a curve it stands; left out, they are those that
        :meth:`finetune` has come to, and step 0 before any training. ``ask`` rewrites the evaluation's
        requests, for attacks that change the question and not the model.
        """

    def record(
        self, samples: list[Sample], step: int | None = None, learning_rate: float | None = None
    ) -> None:
        """Keep samples of the scored facts as a checkpoint, where an attack has its own way to score."""

    def finetune(
        self, facts: Sequence[Fact], optimizer: MakeOptimizer | None = None, look: Look | None = None
    ) -> None:
        """Fine-tune on ``facts`` at each rate of the grid, from the unlearned model, scoring at checkpoints.

        The config says at which rates, how long, and whether adapters train in place of the weights; they
        are scored in place and merged when their rate is done. ``optimizer`` makes another than AdamW.
        ``look`` takes the place of :meth:`checkpoint` on the way, and leaves the weights as they were. Raises
        HarnessError when a fact is both trained on and scored, and without peft where adapters are asked for.
        """


class AnalysisJob(Job, Protocol):
    """What an analysis gets: the models to compare, the facts, the texts. It changes none of them.

    There is one module, :attr:`model`, and its weights are switched in place: no model is copied for it. It
    holds the unlearned model's but within :meth:`original` and :meth:`attacked`, and the contexts may be
    nested. It does not train, and gives answers as when it is scored (``eval``); gradients can be taken.
    """

    @property
    def forget(self) -> tuple[Fact, ...]:
        """The facts that were to be forgotten."""

    @property
    def retain(self) -> tuple[Fact, ...]:
        """The facts that were to be kept."""

    def original(self) -> AbstractContextManager[nn.Module]:
        """Give :attr:`model` the original's weights while inside."""

    def unlearned(self) -> AbstractContextManager[nn.Module]:
        """Give :attr:`model` the unlearned model's weights while inside."""

    def attacked(self) -> AbstractContextManager[nn.Module]:
        """Give :attr:`model` the weights after the attack while inside, at its best checkpoint.

        That is the first of those with the highest forget metric. Raises HarnessError where no attack came
        before: an analysis that needs one says ``attacked = True``.
        """

    def weights(self, which: Which) -> Mapping[str, Tensor]:
        """The weights of a model by name, to be read. Raises HarnessError as :meth:`attacked` does."""
