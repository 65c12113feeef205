"""The note beside a model in the cache: what was made there, to hold against it what is loaded from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.keys import file_digest
from ..core.types import Cost
from ..errors import HarnessError, ModelError
from ..model.files import WEIGHTS, files_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..model.lora import Adapter

DONE = "harness.json"
"""Its name. It is written last: without it there is no model."""


def note(
    directory: Path,
    key: str,
    role: str,
    model: nn.Module,
    cost: Cost,
    weights: Mapping[str, Tensor] | None = None,
) -> str:
    """The note of the model with this ``key``, whose files are in ``directory``, and what it cost."""
    from ..model import models

    made = {"key": key, "role": role, "cost": asdict(cost)}
    fingerprint = models.weights_fingerprint(model) if weights is None else models.fingerprint(weights)
    return json.dumps({**made, "weights": fingerprint, "files": _digests(directory)})


def keep(
    model: nn.Module,
    tokenizer: Any,
    directory: Path,
    role: str,
    cost: Cost,
    beside: Mapping[str, str] = MappingProxyType({}),
    adapter: Adapter | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Save a model with its note, in one step: both are there, or nothing. The directory's name is its key.

    The texts in files ``beside`` it are noted with it. Of a model that is another one with an ``adapter``
    merged in, that alone is saved. ``weights`` are all of one that is spread over processes.
    Raises HarnessError where it cannot be written.
    """
    from ..model import loading

    noted = partial(note, key=directory.name, role=role, model=model, cost=cost, weights=weights)
    notes = {**{name: partial(_text, text) for name, text in beside.items()}, DONE: noted}
    try:
        if adapter:
            loading.in_one_step(directory, adapter.save, notes)
        else:
            loading.save(model, tokenizer, directory, notes, weights)
    except OSError as error:
        raise HarnessError(
            f"{directory} could not be written ({error.strerror or error}); make room or use another "
            "--cache, and run again."
        ) from error


def _text(text: str, directory: Path) -> str:
    return text


def check(directory: Path, model: nn.Module | None = None) -> str:
    """The fingerprint of a model's weights. Raises ModelError where it is not what was made there.

    With the ``model`` that was loaded from there its weights are hashed as they are in memory, and without
    it the files that hold them.
    """
    from ..model import models

    weights, noted = _read(directory)
    left_out = () if model is None else WEIGHTS
    found = _digests(directory, left_out)
    wanted = {name: digest for name, digest in noted.items() if not _is_one_of(name, left_out)}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise _stranger(directory, f"{name} is another")
    if model is not None and models.weights_fingerprint(model) != weights:
        raise _stranger(directory, "its weights are others")
    return weights


def _read(directory: Path) -> tuple[str, dict[str, str]]:
    """Fingerprint of the weights, and digests of the files, as noted."""
    try:
        noted: Any = json.loads((directory / DONE).read_bytes())
        key, weights, files = noted["key"], noted["weights"], noted["files"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise _stranger(directory, f"{DONE} is missing or damaged") from None
    if not isinstance(weights, str) or not isinstance(files, dict):
        raise _stranger(directory, f"{DONE} is damaged")
    if key != directory.name:
        raise _stranger(directory, "it is another model")
    return weights, files


def _digests(directory: Path, left_out: tuple[str, ...] = ()) -> dict[str, str]:
    return {
        name: file_digest(path)
        for name, path in files_of(directory).items()
        if name != DONE and not _is_one_of(name, left_out)
    }


def _is_one_of(name: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(name).match(pattern) for pattern in patterns)


def _stranger(directory: Path, why: str) -> ModelError:
    return ModelError(
        f"The model in {directory} is not what was made there: {why}. Delete that directory and run again."
    )
