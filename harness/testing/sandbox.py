"""Two-layer models to try plugins on, saved and loaded by the engine's own functions, as in a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.benchmark import Benchmark, Plugin
from ..core.config import Config
from ..core.types import Splits
from ..engine.protocol import Protocol
from ..model import loading, models
from ..model.embedded import word_tokenizer
from ..model.tokens import PromptTokenizer
from .facts import splits_with
from .observe import Observed

FAMILIES = ("llama", "gpt_neox")
"""Two families that name and build their layers differently."""

PROTOCOL = Protocol((1e-3, 1e-2), epochs=2, batch_size=3, check_every=None, attack_lr_scale=1000.0)
SMALL: dict[str, Any] = {
    "epochs": PROTOCOL.epochs,
    "batch_size": PROTOCOL.batch_size,
    "steps": 4,
    "checkpoints": (2, 4),
}
"""Settings that make a plugin quick, where it has them."""


def tiny_model(tokenizer: Any, family: str = "llama", seed: int = 0, **settings: Any) -> Any:
    """A random model of a few thousand parameters.

    Its weights are large, so that its logits differ by more than rounding.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if family != "gpt2":
        shape["intermediate_size"] = 24
    if family not in ("gpt2", "gpt_neox", "phi"):
        shape |= {"num_key_value_heads": 1, "head_dim": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, **(shape | settings))
        return AutoModelForCausalLM.from_config(config).eval()


FRAME = ("Question: Answer:", "I can't answer the question.")
"""Words that any toy tokenizer needs: those around a question, and of a refusal."""


def tokenizer_of(splits: Splits) -> Any:
    """A tokenizer that knows the words of these facts."""
    texts = [f"{fact.question} {fact.answer}" for chosen in splits.values() for fact in chosen]
    return word_tokenizer((*FRAME, *texts))


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="harness-check-")  # removed when the process ends


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers for models that take milliseconds."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


@cache
def saved(family: str, role: str = "original") -> Path:
    """The directory of a tiny model, made once per process."""
    path = Path(_folder().name) / f"{family}-{role}"
    tokenizer = tokenizer_of(splits_with())
    seed = 0 if role == "original" else 1
    with quiet():
        loading.save(tiny_model(tokenizer, family, seed), tokenizer, path, {})
    return path


def subject(
    benchmark: Benchmark,
    splits: Splits,
    family: str = "llama",
    dtype: str = "float32",
    micro_batch: int | None = None,
) -> Observed:
    """A tiny model under test, loaded afresh."""
    retrain = saved(family, "retrain")
    with quiet():
        model, tokenizer = loading.load(saved(family), dtype)
    tokens = PromptTokenizer(tokenizer)
    given = (model, tokens, benchmark, splits, PROTOCOL, retrain, dtype)
    return Observed(*given, micro_batch=micro_batch, noted=False)


def others(family: str, dtype: str) -> models.Weights:
    """Weights of another tiny model of the same shape, for what compares two."""
    with quiet():
        model, _ = loading.load(saved(family, "retrain"), dtype)
    return models.snapshot(model)


def small(cls: type[Plugin], settings: Mapping[str, Any], **more: Any) -> Config:
    """The plugin's settings as given, and values that make it quick for the usual ones that are left open."""
    quick = {name: value for name, value in {**SMALL, **more}.items() if name in cls.Config.model_fields}
    try:
        return cls.Config(**{**quick, **settings})
    except ValueError:
        return cls.Config(**settings)


def reload(model: nn.Module, tokenizer: Any, dtype: str) -> models.Weights:
    """The weights after saving and loading."""
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder, quiet():
        loading.save(model, tokenizer, Path(folder) / "model", {})
        again, _ = loading.load(Path(folder) / "model", dtype)
    return models.snapshot(again)


def difference(one: models.Weights, other: models.Weights) -> float:
    """Largest difference of any weight; one that is no number equals another such."""
    if one.keys() != other.keys():
        return float("inf")
    pairs = [(one[name].double().nan_to_num(), other[name].double().nan_to_num()) for name in one]
    return max(float((left - right).abs().max()) for left, right in pairs)
