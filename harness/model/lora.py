"""Low-rank adapters for methods whose definition leaves open which parameters train. By peft."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import HarnessError, ModelError, one_line
from . import models

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of an adapter, as peft names them."""

NEEDED = "LoRA needs peft: pip install 'unlearning-harness[lora]'."


@dataclass(frozen=True)
class Adapter:
    """Trained adapters before they were merged, and the fingerprint of the weights that this made."""

    config: Any
    weights: models.Weights
    merged: str

    def save(self, directory: Path) -> None:
        """Write it as peft does: to be loaded onto the model that it was trained on."""
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        save_file(self.weights, directory / WEIGHTS, {"format": "pt"})
        self.config.save_pretrained(directory)


@contextmanager
def adapters(
    model: nn.Module, r: int, alpha: float, seed: int, trained: Callable[[Adapter], None] | None = None
) -> Iterator[list[nn.Parameter]]:
    """Put adapters of rank ``r``, scaled by ``alpha``/r, on all linear maps but the last; yield what trains.

    Afterwards they are merged, and the model is a plain one again, with the same names; ``trained`` gets them
    as they were. The initial adapters depend on ``seed`` alone. Raises HarnessError without peft.
    """
    try:
        from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    except ImportError as error:
        raise HarnessError(NEEDED) from error
    options: dict[str, Any] = {"r": r, "lora_alpha": alpha, "target_modules": "all-linear"}
    config = LoraConfig(task_type="CAUSAL_LM", **options)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of one library about the other
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # it then does what it says
        torch.manual_seed(seed)
        wrapped = get_peft_model(model, config)  # type: ignore[arg-type]
    try:
        yield [parameter for parameter in model.parameters() if parameter.requires_grad]
    finally:
        weights = models.copied(get_peft_model_state_dict(wrapped)) if trained else {}
        wrapped.merge_and_unload()
        model.requires_grad_(True)  # peft froze it, and leaves it so
        if trained:
            weights = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
            trained(Adapter(wrapped.peft_config["default"], weights, models.weights_fingerprint(model)))


def merge(model: nn.Module, directory: Path) -> None:
    """Merge the adapter in a directory into the weights of the model that it belongs to, in place.

    Raises ModelError where it cannot be read, cannot be merged, or belongs to another model.
    """
    try:
        from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
        from peft.utils import load_peft_weights
    except ImportError as error:
        raise HarnessError(NEEDED) from error
    try:
        config = PeftConfig.from_pretrained(str(directory))
        weights = load_peft_weights(str(directory), device="cpu")
    except Exception as error:  # peft raises a dozen unrelated classes over a broken file
        raise _no_adapter(directory, f"it cannot be read ({one_line(error)})") from error
    if config.is_prompt_learning:
        raise _no_adapter(directory, f"{config.peft_type} changes no weights, so it cannot be merged")
    wrapped: Any = None
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapped = get_peft_model(model, config)  # type: ignore[arg-type]
        shapes = {name: tensor.shape for name, tensor in get_peft_model_state_dict(wrapped).items()}
        if shapes != {name: tensor.shape for name, tensor in weights.items()}:
            raise _no_adapter(directory, "its weights have other names or shapes than the model asks for")
        set_peft_model_state_dict(wrapped, weights)
    except ModelError:
        raise
    except Exception as error:
        raise _no_adapter(directory, f"it does not fit the model ({one_line(error)})") from error
    finally:
        # Merged or not, the model is a plain one again; of what does not fit the caller lets go.
        if wrapped is not None:
            wrapped.merge_and_unload()
        model.requires_grad_(True)


def size(model: nn.Module, r: int) -> int:
    """How many parameters adapters of rank ``r`` have on a model: on all linear maps but the last."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    maps = [module for module in models.linear_modules(model).values() if module is not head]
    return sum(r * sum(module.get_parameter("weight").shape) for module in maps)


def _no_adapter(directory: Path, why: str) -> ModelError:
    return ModelError(f"The adapter in {directory} cannot be used: {why}.")


def merged(model: nn.Module) -> models.Weights:
    """A copy of the weights as they would be with the adapters merged, which stay; names are the plain ones.

    Of a model without adapters it is :func:`models.snapshot`.
    """
    adapted: Mapping[str, Any] = {
        name: module for name, module in model.named_modules() if hasattr(module, "get_delta_weight")
    }
    weights = {}
    for name, tensor in model.state_dict().items():
        path = name.removesuffix(".base_layer.weight")
        if any(name.startswith(f"{of}.lora_") for of in adapted):
            continue
        value = tensor.detach().clone()
        if path in adapted:
            for adapter in adapted[path].active_adapters:
                value += adapted[path].get_delta_weight(adapter).detach()
        weights[name.replace(".base_layer.", ".")] = value
    return weights
