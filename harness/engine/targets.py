"""Targets: the original model and, where a benchmark can train it, the twin that never saw the forget set.

A target is made from a recipe and kept in the cache under the recipe's key, so that benchmarks with the same
recipe share it. ``tiny`` is built from nothing; any other model is fine-tuned as the benchmark says, or taken
as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.benchmark import Benchmark
from ..core.fingerprint import engine_fingerprint
from ..core.keys import derive, key
from ..core.names import TINY
from ..core.optimizers import adamw
from ..core.types import Cost, Splits, Training
from ..errors import HarnessError
from ..model.embedded import Tiny, tiny_model, word_tokenizer
from .note import DONE, check, keep
from .source import Source

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Recipe:
    """How one twin is made. ``role`` is ``original`` or ``retrain``; without ``training``, as given."""

    source: Source
    training: Training | None
    role: str
    replicate: int = 0
    """Which of several that are trained independently: initial weights and order of examples differ."""

    @cached_property
    def family(self) -> str:
        """The key of the first replicate, which all share."""
        return replace(self, replicate=0).key if self.replicate else self.key

    @cached_property
    def key(self) -> str:
        """Same key, same model: definition, corpus, settings and the code that trains."""
        base = {"base": self.source.fingerprint(), "dtype": self.source.dtype}
        if self.training is None:
            return key(base)
        examples = self.training.original if self.role == "original" else self.training.retrain
        prompts = [example.prompt for example in examples]
        asked = [(prompt.text, prompt.literal, prompt.shots, prompt.opening) for prompt in prompts]
        content = [asked, [example.answer for example in examples]]
        settings = [self.training.epochs, self.training.learning_rate, self.training.batch_size]
        scratch = list(self.training.vocabulary) if self.source.spec == TINY else []
        return key(
            {
                **base,
                "corpus": content,
                "vocabulary": scratch,
                "settings": settings,
                "engine": engine_fingerprint(),
                **({"replicate": self.replicate} if self.replicate else {}),
            }
        )

    def path(self, cache: Path) -> Path:
        """Where the model is, or will be."""
        return self.source.local() if self.training is None else trained_path(cache, self.key)

    def ready(self, cache: Path) -> bool:
        """True when nothing has to be trained."""
        return self.training is None or (self.path(cache) / DONE).is_file()

    def make(self, cache: Path, advance: Callable[[int, int], None] = lambda step, steps: None) -> Path:
        """Train the twin unless the cache has it; ``advance(step, steps)`` follows. Returns its directory."""
        path = self.path(cache)
        if self.training is None:
            return path
        if self.ready(cache):
            check(path)
            return path
        from ..model import loading
        from ..model.tokens import PromptTokenizer

        examples = self.training.original if self.role == "original" else self.training.retrain
        if self.source.spec == TINY:
            if not self.training.vocabulary:
                raise HarnessError(
                    "--model tiny is for the embedded worlds: give a model directory or a hub id."
                )
            tiny = Tiny()
            tokenizer = word_tokenizer(self.training.vocabulary)
            model = tiny_model(tiny, len(tokenizer), tokenizer.eos_token_id, self.replicate)
            epochs, lr, batch_size = tiny.epochs, tiny.learning_rate, tiny.batch_size
        else:
            base = self.source.local()
            model, tokenizer = loading.load(
                base, self.source.dtype, trust_remote_code=self.source.trust_remote_code
            )
            self.source.check(base, model)
            epochs, lr, batch_size = (
                self.training.epochs,
                self.training.learning_rate,
                self.training.batch_size,
            )
        cost = fit(
            model,
            PromptTokenizer(tokenizer, self.source.frame),
            examples,
            epochs,
            lr,
            batch_size,
            advance,
            self.replicate,
        )
        keep(model, tokenizer, path, self.role, cost)
        return path


def fit(
    model: nn.Module,
    tokens: Any,
    examples: Any,
    epochs: int,
    lr: float,
    batch_size: int,
    advance: Callable[[int, int], None],
    replicate: int = 0,
) -> Cost:
    """Train on a corpus: AdamW, one tenth of warm-up, then linearly to zero. One replicate: one model."""
    from ..model.losses import cross_entropy
    from ..model.steps import corpus_steps
    from ..model.train import train, warmup_then_linear

    data = tokens.examples(examples)
    steps = epochs * -(-len(data) // batch_size)

    def report(step: int) -> bool:
        advance(step, steps)
        return False

    order = corpus_steps(tokens, data, batch_size, epochs, derive(replicate, "order"))
    rate = warmup_then_linear(steps // 10, steps)
    optimizer = adamw(list(model.parameters()), lr, weight_decay=0.01)
    return train(model, order, cross_entropy, [optimizer], rate, check=report, clip=1.0)


def trained_path(cache: Path, recipe: str) -> Path:
    """The directory of a model that was trained by the recipe with this key."""
    return cache / "targets" / recipe


def recipes(benchmark: Benchmark, splits: Splits, source: Source, replicate: int = 0) -> dict[str, Recipe]:
    """By role, how the benchmark's models are made. One that is taken as it is has no replicates.

    Raises HarnessError where the embedded model is to know what nobody taught it.
    """
    training = benchmark.training(splits)
    if training is None:
        if source.spec == TINY:
            raise HarnessError(
                f"--model tiny knows nothing of {benchmark.name}, which trains no model: "
                "give a model directory or a hub id."
            )
        return {"original": Recipe(source, None, "original")}
    return {role: Recipe(source, training, role, replicate) for role in ("original", "retrain")}
