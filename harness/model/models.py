"""Parts and weights of a causal language model, whatever its family: layers, linear maps, snapshots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..errors import ModelError
from . import sharding
from .sharding import whole

Weights = dict[str, torch.Tensor]


def weights_fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, shapes and bits of all parameters and buffers that are saved."""
    return fingerprint(model.state_dict())


def fingerprint(weights: Mapping[str, torch.Tensor]) -> str:
    """The same of weights by name."""
    whole = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        whole.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        whole.update(_bits(tensor))
    return whole.hexdigest()


def digest(tensor: torch.Tensor) -> str:
    """SHA-256 over shape and bits of a tensor."""
    return hashlib.sha256(f"{tuple(tensor.shape)}{tensor.dtype}".encode() + _bits(tensor)).hexdigest()


def _bits(tensor: torch.Tensor) -> bytes:
    return whole(tensor).detach().to("cpu").contiguous().flatten().view(torch.uint8).numpy().tobytes()


def snapshot(model: nn.Module, offload: bool = False) -> Weights:
    """A copy of the weights, to start from again; with ``offload`` in the memory of the machine."""
    weights = model.state_dict()
    return {name: _offloaded(tensor) for name, tensor in weights.items()} if offload else copied(weights)


def copied(weights: Mapping[str, torch.Tensor]) -> Weights:
    """A copy of weights by name."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def _offloaded(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in the memory of the machine, of whose pages a GPU reads without a detour."""
    pinned = tensor.device.type == "cuda"
    return torch.empty_like(tensor, device="cpu", pin_memory=pinned).copy_(tensor.detach())


def restore(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Put a snapshot back, in place, and drop gradients."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(sharding.spread_like(weights[name], tensor))
    model.zero_grad(set_to_none=True)


def point(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Have the model use these very tensors as its weights. Nothing is copied, and its own are let go."""
    for name, tensor in model.state_dict(keep_vars=True).items():
        tensor.data = weights[name]


@contextmanager
def restored(parameters: Sequence[nn.Parameter], old: Sequence[torch.Tensor]) -> Iterator[None]:
    """Some weights as they were, for a forward pass without gradient; back to what they are afterwards."""
    if any(map(sharding.is_part, parameters)):
        with overwritten(parameters, old):
            yield
        return
    now = [parameter.data for parameter in parameters]
    try:
        for parameter, value in zip(parameters, old, strict=True):
            parameter.data = value
        yield
    finally:
        for parameter, value in zip(parameters, now, strict=True):
            parameter.data = value


@contextmanager
@torch.no_grad()
def overwritten(parameters: Sequence[nn.Parameter], values: Sequence[torch.Tensor]) -> Iterator[None]:
    """The same where each process holds a part of them: FSDP knows its storage, and so that is written to."""
    now = [parameter.detach().clone() for parameter in parameters]
    try:
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(sharding.spread_like(value, parameter))
        yield
    finally:
        for parameter, value in zip(parameters, now, strict=True):
            parameter.copy_(value)


@contextmanager
def brought(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Other weights for a forward pass without gradient, brought to the device module by module.

    ``weights`` are by the names of parameters, tied ones once, and may lie elsewhere: no second model is on
    the device.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    own: dict[nn.Module, list[torch.Tensor]] = {}

    def enter(module: nn.Module, args: Any) -> None:
        parameters = list(module.parameters(recurse=False))
        own[module] = [parameter.data for parameter in parameters]
        for parameter in parameters:
            parameter.data = weights[names[parameter]].to(parameter.device, non_blocking=True)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        for parameter, value in zip(module.parameters(recurse=False), own.pop(module, ()), strict=False):
            parameter.data = value

    holders = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    handles = [module.register_forward_pre_hook(enter) for module in holders]
    handles += [module.register_forward_hook(leave, always_call=True) for module in holders]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in list(own):
            leave(module, (), None)


@contextmanager
def displaced(model: nn.Module, by: Mapping[nn.Parameter, torch.Tensor]) -> Iterator[None]:
    """The weights moved by these tensors, and all in float32 at least; back to what they are afterwards."""
    now = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        for parameter, value in now:
            fine = value.to(torch.promote_types(value.dtype, torch.float32))
            parameter.data = fine + by[parameter].to(fine) if parameter in by else fine
        yield
    finally:
        for parameter, value in now:
            parameter.data = value


def norm(tensors: Iterable[torch.Tensor]) -> float:
    """Length of all tensors as one vector."""
    lengths = [whole(torch.linalg.vector_norm(tensor, dtype=torch.float64)) for tensor in tensors]
    return torch.stack(lengths).norm().item() if lengths else 0.0


def dot(one: Mapping[Any, torch.Tensor], other: Mapping[Any, torch.Tensor]) -> float:
    """Inner product of tensors by the same keys as one vector; what one of them lacks is 0 there."""
    both = [(one[each].double() * other[each].double()).sum() for each in one if each in other]
    return torch.stack(both).sum().item() if both else 0.0


def blocks(model: nn.Module) -> nn.ModuleList:
    """The list of decoder layers: the longest ModuleList whose items are all of one class.

    Raises ModelError where there is none, naming the model class.
    """
    lists = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len({type(item) for item in module}) == 1
    ]
    if not lists:
        raise ModelError(f"No list of decoder layers was found in {type(model).__name__}.")
    return max(lists, key=len)


def size(model: nn.Module) -> int:
    """How many parameters a model has, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def width(model: Any) -> int:
    """Length of the hidden states between the decoder layers."""
    return model.config.get_text_config().hidden_size


def matrices(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of all linear maps in the decoder layers, as (out, in), to be changed in place.

    Embeddings and the output head are not among them. By path, ``3.mlp.up_proj`` in the fourth layer.
    """
    return {
        f"{i}.{name}": weight if isinstance(module, nn.Linear) else weight.T
        for i, block in enumerate(blocks(model))
        for name, module in linear_modules(block).items()
        for weight in [module.get_parameter("weight").detach()]
    }


def linear_modules(block: nn.Module) -> dict[str, nn.Module]:
    """A decoder layer's linear maps by their path in it; of GPT-2's Conv1D the weight is (in, out)."""
    from transformers.pytorch_utils import Conv1D

    return {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear | Conv1D)}


def generation_ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Token ids at which generation stops: the tokenizer's end token, the generation config's."""
    ends = {tokenizer.eos_token_id}
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends.update(configured if isinstance(configured, list) else [configured])
    return tuple(sorted(end for end in ends if end is not None))
