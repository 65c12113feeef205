"""A model that somebody else has made: where it is, whether it fits the original, and its weights.

It is a directory, or a hub id, of a whole model or of a peft adapter of the original.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from torch import nn

from ..core import hub
from ..core.config import Content
from ..errors import ModelError
from ..model import loading, lora, models
from ..model.files import snapshot_of
from .cache import cache_directory
from .integrity import not_finite
from .source import Source

IGNORED = frozenset(
    [
        *("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"),
        *("initializer_range", "pretraining_tp", "auto_map", "_attn_implementation"),
    ]
)
UNUSED = ("_token_id", "dropout", "_pdrop", "_drop")
"""Settings of a configuration, by name or ending, that change no number here: the original's count."""


def directory_of(given: Any) -> Any:
    """The directory of ``DIR``, ``ID`` or ``ID@REVISION``, fetched from the hub where it has to be.

    What is no text or path is left to others. Raises ModelError where there is neither model nor adapter.
    """
    if not isinstance(given, str | Path):
        return given
    directory = Path(given).expanduser()
    if directory.is_file():
        raise ModelError(f"{directory} is a file: give the directory of a model or adapter, or a hub id.")
    if not directory.is_dir():
        spec, _, revision = str(given).partition("@")
        prepared = hub.recorded(cache_directory())
        directory = Source(spec, revision=revision or None, prepared=prepared).local()
    if not any((directory / name).is_file() for name in ("config.json", lora.CONFIG)):
        raise ModelError(
            f"{directory} holds neither a model (config.json) nor an adapter ({lora.CONFIG}): give what "
            "save_pretrained() wrote, or a hub id."
        )
    return str(directory)  # as JSON has it, too


class ModelContent(Content):
    """Of a model's directory the files count that transformers and peft read; a hub's is called by its id."""

    def identity(self, path: Path) -> str:
        repository = path.parent.parent.name if path.parent.name == "snapshots" else ""
        name = repository.removeprefix("models--").replace("--", "/") or path.name
        return f"{name}@{snapshot_of(path).fingerprint[:16]}"


Pretrained = Annotated[Path, BeforeValidator(directory_of), ModelContent()]
"""A setting that names a model: directory or hub id of weights or of an adapter. Its content is in keys."""


def take(
    model: nn.Module,
    tokenizer: Any,
    directory: Path,
    texts: Iterable[str],
    dtype: str = "float32",
    trust_remote_code: bool = False,
) -> str:
    """Give the original the weights in a directory, in place; ``weights`` or ``adapter``, what they were.

    Raises ModelError unless they fit: architecture, names and shapes of the weights, and, where it brings a
    tokenizer, the tokens of the original's and those of these ``texts``. No weight may be NaN or infinite.
    """
    if (directory / lora.CONFIG).is_file():
        _check_tokenizer(directory, tokenizer, texts, trust_remote_code)
        lora.merge(model, directory)
        _check_finite(directory, model)
        return "adapter"
    _check_config(directory, model, trust_remote_code)
    _check_tokenizer(directory, tokenizer, texts, trust_remote_code)
    other = loading.load_model(directory, dtype, trust_remote_code)
    if shapes(other) != shapes(model):
        raise _unlike(directory, "its weights have other names or shapes")
    _check_finite(directory, other)
    models.restore(model, other.state_dict())
    return "weights"


def shapes(model: nn.Module) -> dict[str, Any]:
    """The shape of each weight, by name."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _check_config(directory: Path, model: Any, trust_remote_code: bool) -> None:
    theirs = loading.load_config(directory, trust_remote_code).to_dict()
    ours = model.config.to_dict()
    if theirs.get("model_type") != ours.get("model_type"):
        raise _unlike(
            directory, f"it is of the family {theirs.get('model_type')}, the original is {ours['model_type']}"
        )
    for name, own in ours.items():
        if name in IGNORED or name.endswith(UNUSED) or name not in theirs:
            continue
        if _plain(theirs[name]) != _plain(own):
            raise _unlike(directory, f"its {name} is {theirs[name]}, and the original's {own}")


def _plain(value: Any) -> Any:
    """A value that is equal to what JSON makes of it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _check_tokenizer(directory: Path, ours: Any, texts: Iterable[str], trust_remote_code: bool) -> None:
    """Tokens that it has beside the original's do no harm: it is asked by the original's."""
    if not any((directory / name).is_file() for name in loading.TOKENIZER_FILES):
        return
    other = loading.load_tokenizer(directory, trust_remote_code)
    theirs = other.get_vocab()
    for token, number in ours.get_vocab().items():
        if theirs.get(token) != number:
            where = f"has the number {theirs[token]}" if token in theirs else "is missing"
            raise _unlike(
                directory, f"in its tokenizer {token!r} {where}, which is {number} in the original's"
            )
    for text in texts:
        if other.encode(text, add_special_tokens=False) != ours.encode(text, add_special_tokens=False):
            raise _unlike(directory, f"its tokenizer cuts {text!r} into other tokens")


def _check_finite(directory: Path, model: nn.Module) -> None:
    if names := not_finite(model):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise ModelError(
            f"The model in {directory} cannot be used: {names[0]}{more} of its weights hold NaN or infinity."
        )


def _unlike(directory: Path, why: str) -> ModelError:
    return ModelError(
        f"The model in {directory} was not made from the original: {why}. Give the model that it was made "
        "from (--model or --original), or another checkpoint."
    )
