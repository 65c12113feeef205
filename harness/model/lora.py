"""Low-rank adapters for methods whose definition leaves open which parameters train. By peft."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..errors import HarnessError
from . import models


@contextmanager
def adapters(model: nn.Module, r: int, alpha: float, seed: int) -> Iterator[list[nn.Parameter]]:
    """Put adapters of rank ``r``, scaled by ``alpha``/r, on all linear maps but the last; yield what trains.

    Afterwards they are merged, and the model is a plain one again, with the same names. The initial adapters
    depend on ``seed`` alone. Raises HarnessError without peft.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise HarnessError("LoRA needs peft: pip install 'unlearning-harness[lora]'.") from error
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
        wrapped.merge_and_unload()
        model.requires_grad_(True)  # peft froze it, and leaves it so


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
