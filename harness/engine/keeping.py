"""Unlearned models that are kept: what comes later starts from them, and nothing is unlearned again.

    <cache>/unlearned/<key>/    a model directory, or that of an adapter, by the key of the unlearned model
        unlearned.json          what it is, and all that its unlearning said
        harness.json            the note: its key, and digests of its weights and of each file; written last

One that is not what its note says is never used: whoever asks for it has it made again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.aside import aside
from ..core.names import TINY
from ..core.types import Cost, Metric
from ..errors import ModelError
from ..model.embedded import Tiny, tiny_model, word_tokenizer
from ..model.files import files_of
from . import note
from .targets import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .unlearning import UnlearningJob

ACCOUNT = "unlearned.json"
"""The file with a :class:`KeptModel`."""

ADAPTER = "adapter_config.json"

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of a parameter."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which of several unlearned models of one method is the best: it forgot, and kept the most."""

    forgotten: bool
    retained: float | None
    """The benchmark's retain metric; None where it measures none."""
    seed: int

    @property
    def order(self) -> tuple[bool, float, int]:
        """The best has the highest; of equals it is the first seed."""
        return self.forgotten, float("-inf") if self.retained is None else self.retained, -self.seed


@dataclass(frozen=True, slots=True)
class KeptModel:
    """What an unlearned model is, and what unlearning said of it: all that cells need beside its weights."""

    benchmark: str
    method: str
    settings: Mapping[str, Any]
    """Resolved settings of the method."""
    seed: int
    model: str
    """Name of the model that was unlearned."""
    dtype: str
    engine: str
    """Fingerprint of the code that unlearned it."""
    siblings: str
    """Key that it shares with the models of other seeds."""
    seconds: float
    """What loading and unlearning took."""
    standing: Standing | None = None
    """Of one that was kept as the best of its siblings: it gives way to a better one."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    cost: Cost = field(default_factory=Cost)


def kept_path(cache: Path, unlearned: str) -> Path:
    """The directory of the unlearned model with this key."""
    return cache / "unlearned" / unlearned


def is_kept(cache: Path, unlearned: str) -> bool:
    """Whether there is a model; whether it is what was made there is looked at when it is loaded."""
    return (kept_path(cache, unlearned) / note.DONE).is_file()


def full_weights(model: nn.Module) -> Mapping[str, Tensor] | None:
    """All weights of a model that is spread over processes, in the first of them; None of a plain one."""
    from ..model import sharding

    return sharding.full_weights(model) if sharding.is_sharded(model) else None


def keep(
    job: UnlearningJob, path: Path, account: KeptModel, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Keep the model of a job as it is now, by its adapter where it is the original with that merged in.

    ``weights`` are those of :func:`full_weights`.
    Raises HarnessError where it cannot be written.
    """
    from ..model.models import weights_fingerprint

    adapter = job.adapter
    if adapter and adapter.merged != weights_fingerprint(job.model):
        adapter = None  # the method went on, or the limit of damage chose an earlier model
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = {ACCOUNT: json.dumps(asdict(account), indent=1) + "\n"}
    tokenizer = job.tokens.tokenizer
    note.keep(job.model, tokenizer, path, "unlearned", account.cost, beside, adapter, weights)


def restore(job: UnlearningJob, path: Path) -> KeptModel:
    """Give a job that has just begun the model that is kept there, and what was said of it.

    Raises ModelError where that is not what was kept: the job's model is the original then, as before.
    """
    from ..model import loading, lora, models, sharding

    subject = job.subject
    device = "cpu" if sharding.is_sharded(job.model) else None
    try:
        account = read(path)
        if (path / ADAPTER).is_file():
            lora.merge(job.model, path)
            note.check(path, job.model)
        else:
            model, _ = loading.load(path, subject.dtype, subject.trust_remote_code, device)
            note.check(path, model)
            models.restore(job.model, model.state_dict())
    except Exception as error:
        job.restore(job.original)
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"The unlearned model in {path} cannot be loaded: {error}") from error
    job.metrics += account.metrics
    job.notes |= account.notes
    job.cost += account.cost
    return account


def read(path: Path) -> KeptModel:
    """What is kept there. Raises ModelError where that cannot be read."""
    try:
        told = json.loads((path / ACCOUNT).read_bytes())
        told["standing"] = told["standing"] and Standing(**told["standing"])
        told["metrics"] = tuple(Metric(**metric) for metric in told["metrics"])
        told["cost"] = Cost(**told["cost"])
        return KeptModel(**told)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"The unlearned model in {path} is damaged: {ACCOUNT} cannot be read.") from error


def kept(cache: Path) -> Iterator[tuple[Path, KeptModel | None]]:
    """Every directory of a kept model with what it is, or None where that cannot be read."""
    for path in sorted((cache / "unlearned").glob("[!.]*")):
        account = None
        if (path / note.DONE).is_file():
            with suppress(ModelError):
                account = read(path)
        yield path, account


def bytes_of(path: Path) -> int:
    """What a kept model takes on disk."""
    return sum(file.stat().st_size for file in files_of(path).values())


def discard(path: Path) -> None:
    """Remove a kept model in one step: nobody finds a part of it. Raises OSError where that cannot be."""
    part = aside(path)
    with suppress(FileNotFoundError):  # another process was faster
        os.rename(path, part)
        shutil.rmtree(part)


def expected_bytes(original: Recipe, dtype: str, lora_r: int | None = None) -> int:
    """What a model that is made of this one will take: its weights, or those of adapters of a rank."""
    parameters = None if original.source.spec == TINY else original.source.parameters
    if lora_r is None and parameters:
        return parameters * BYTES[dtype]
    from ..model import lora, models

    model = skeleton_of(original)
    if model is None:  # of a GGUF file that is not converted yet the size alone is known
        return (parameters or 0) * BYTES[dtype]
    if lora_r is None:
        return models.size(model) * BYTES[dtype]
    return lora.size(model, lora_r) * BYTES["float32"]


def skeleton_of(original: Recipe) -> nn.Module | None:
    """A model of a recipe without its weights; None of a GGUF file that is not converted yet."""
    source = original.source
    if source.spec == TINY:
        return _embedded(original.training.vocabulary if original.training else ())
    if source.file and not source.is_converted():
        return None
    from ..model import loading

    return loading.skeleton(source.local(), source.trust_remote_code)


@cache
def _embedded(vocabulary: tuple[str, ...]) -> nn.Module:
    tokenizer = word_tokenizer(vocabulary)
    return tiny_model(Tiny(), len(tokenizer), tokenizer.eos_token_id)
