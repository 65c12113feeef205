"""Load a causal language model from a directory or the hub, and save one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env
from safetensors import SafetensorError
from torch import nn

from ..core.aside import aside
from ..errors import ModelError
from . import models

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU, also where accelerate is told to use that."""
    if parse_flag_from_env("ACCELERATE_USE_CPU"):
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")


def load_tokenizer(directory: Path, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a model directory. Raises ModelError."""
    from transformers import AutoTokenizer

    with _said_of(directory):
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code)


def load(
    directory: Path, dtype: str = "float32", trust_remote_code: bool = False, device: str | None = None
) -> tuple[nn.Module, Any]:
    """Return (model, tokenizer) of a model directory, on the default device unless another is given.

    Raises ModelError with what is missing.
    """
    check(directory)
    tokenizer = load_tokenizer(directory, trust_remote_code)
    return load_model(directory, dtype, trust_remote_code, device), tokenizer


def load_config(directory: Path, trust_remote_code: bool = False) -> Any:
    """The configuration of a model directory. Raises ModelError."""
    from transformers import AutoConfig

    with _said_of(directory):
        return AutoConfig.from_pretrained(directory, trust_remote_code=trust_remote_code)


def load_model(
    directory: Path, dtype: str = "float32", trust_remote_code: bool = False, device: str | None = None
) -> nn.Module:
    """The model of a directory, whether a tokenizer is beside it or not. Raises ModelError."""
    from transformers import AutoModelForCausalLM

    with _said_of(directory):
        # Weights that are missing or of another shape are only reported: transformers would make them up.
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=DTYPES[dtype],
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=trust_remote_code,
        )
    model = whole(directory, loaded)
    model.to(device or default_device())
    return model.eval()


@contextmanager
def _said_of(directory: Path) -> Iterator[None]:
    """Have whatever a reader raises over a broken file say of which model."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"The model '{directory}' cannot be loaded: {reason}") from error


def count(directory: Path, trust_remote_code: bool = False) -> int:
    """How many parameters the model of a directory has, tied ones once; no weights are read."""
    return models.size(skeleton(directory, trust_remote_code))


def skeleton(directory: Path, trust_remote_code: bool = False) -> nn.Module:
    """The model of a directory without its weights: it takes no memory. Raises ModelError."""
    from transformers import AutoModelForCausalLM

    config = load_config(directory, trust_remote_code)
    with _said_of(directory), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)


def whole(path: Path, loaded: Any) -> nn.Module:
    """The model that transformers loaded, of (model, report). Raises ModelError where it lacks weights."""
    model, report = loaded
    absent = sorted([*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])])
    if absent:
        raise ModelError(
            f"The model '{path}' cannot be loaded: {len(absent)} weights that its configuration asks for "
            f"are missing or have another shape, '{absent[0]}' among them."
        )
    return model


def check(directory: Path) -> None:
    """Raise ModelError where a directory cannot hold a model, before anything is loaded."""
    if not (directory / "config.json").is_file():
        raise ModelError(
            f"{directory} is not a model directory: it has no config.json. "
            "Give a directory written by save_pretrained(), or a hub id."
        )
    if (directory / "adapter_config.json").is_file():
        # transformers would load the base that it names, from wherever that is, and no key would know.
        raise ModelError(
            f"{directory} holds an adapter of another model (adapter_config.json). Merge it into that model "
            "with peft's merge_and_unload(), and save the result."
        )
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{directory} has no tokenizer (none of {', '.join(TOKENIZER_FILES)}). "
            "Save it there with tokenizer.save_pretrained()."
        )


TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")


def save(
    model: nn.Module,
    tokenizer: Any,
    directory: Path,
    notes: Mapping[str, Callable[[Path], str]],
    weights: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write model, tokenizer and notes to a directory in one step: it is whole or absent.

    ``weights`` are all of a model of which each process holds a part.
    A note is text about the files that are saved already, in the directory that it is called with.
    """

    def write(part: Path) -> None:
        own = None if weights is None else dict(weights)  # transformers takes some out
        model.save_pretrained(part, state_dict=own)  # type: ignore[operator]
        tokenizer.save_pretrained(part)

    in_one_step(directory, write, notes)


def in_one_step(
    directory: Path, write: Callable[[Path], None], notes: Mapping[str, Callable[[Path], str]]
) -> None:
    """Make a directory with what ``write`` writes and the notes, as :func:`save` does."""
    part = aside(directory)
    try:
        write(part)
        for name, note in notes.items():
            (part / name).write_text(note(part))
        if directory.exists() and all((directory / name).is_file() for name in notes):
            shutil.rmtree(part)  # another process was faster, with the same content
            return
        if directory.exists():  # the rest of a model of which a part was deleted
            shutil.rmtree(directory)
        os.replace(part, directory)
    except SafetensorError as error:  # what its writer makes of a full disk
        shutil.rmtree(part, ignore_errors=True)
        raise OSError(str(error)) from error
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        if not directory.exists():
            raise
