"""One model over several processes: each holds a part of every weight, and works on a part of every batch.

By FSDP2 of torch, applied by hand. Weights, gradients and what optimisers keep are DTensors of the whole
shape. Arithmetic on them is that of plain tensors, but three things are not, and are done by what is here:
a number (``.item()`` gives that of the own part), a gradient with respect to weights (``autograd.grad`` does
not know them), and a plain tensor beside one that is spread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn


def shard(model: nn.Module, layers: Iterable[nn.Module]) -> nn.Module:
    """Spread a model over the processes of torch's default group, in place, layer after layer.

    Each process gives it with the same weights; none of them holds a whole layer afterwards but while that
    layer computes. Tied weights stay tied: what belongs to no layer is one part. Gradients are added up over
    the processes, and not averaged.
    """
    from torch.distributed.fsdp import fully_shard

    for module in (*layers, model):
        # Also the outermost: else its weights would stay gathered after a pass without gradient, and what
        # is written to the parts would not be seen by the next pass.
        fully_shard(module, reshard_after_forward=True)
    for part in _parts(model):
        part.set_force_sum_reduction_for_comms(True)  # the only one that gloo has
        # What is gathered first within inference_mode() could never be trained with.
        part.unshard()
        part.reshard()
    _count_once(model, 1)
    return model


def is_sharded(model: nn.Module) -> bool:
    """Whether a model is spread over several processes."""
    if not _in_group():
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


def share(model: nn.Module, batch: Any) -> tuple[Any, float]:
    """What of a micro-batch this process does, and what its loss counts: of a plain model all, and 1.

    The losses of parts of a batch add up to that of the batch, as those of micro-batches do. Where the texts
    cannot be dealt out evenly each process does all of them, and counts as one of so many: every process
    must come to the same weights at the same moment.
    """
    if not is_sharded(model):
        return batch, 1.0
    size = distributed.get_world_size()
    even = batch.is_even(size)
    _count_once(model, 1 if even else size)
    return (batch.share(distributed.get_rank(), size), 1.0) if even else (batch, 1 / size)


def added_up(model: nn.Module, number: Tensor) -> Tensor:
    """The sum of a number over the processes of a model."""
    if is_sharded(model):
        distributed.all_reduce(number)
    return number


def gradients(loss: Tensor, parameters: Sequence[nn.Parameter], retain_graph: bool = False) -> list[Tensor]:
    """The gradient of ``loss`` with respect to all parameters that train; no ``.grad`` is changed.

    ``torch.autograd.grad``, which raises for weights that are spread: the graph knows them as what they are
    while they are gathered. Those that are left out and train would get a ``.grad``.
    """
    if not any(is_part(parameter) for parameter in parameters):
        return list(torch.autograd.grad(loss, parameters, retain_graph=retain_graph))
    before = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        loss.backward(retain_graph=retain_graph)
        found = [parameter.grad for parameter in parameters]
    finally:
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient
    if any(gradient is None for gradient in found):
        raise RuntimeError("One of the parameters has no part in the loss.")
    return [gradient for gradient in found if gradient is not None]


def is_part(tensor: Tensor) -> bool:
    """Whether each process holds a part of this tensor."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on each process; of a sum over parts, the sum. A plain one is that already."""
    return tensor.full_tensor() if is_part(tensor) else tensor  # type: ignore[attr-defined]


def spread_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A tensor that each process has whole, as parts that lie as those of ``other`` do.

    It may be smaller where it broadcasts. Nothing is done where ``other`` is whole, or it is spread already.
    """
    if is_part(tensor) or not is_part(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = other.device_mesh, other.placements  # type: ignore[attr-defined]
    full = tensor.to(other.device).expand(other.shape)
    return distribute_tensor(full, mesh, placements, src_data_rank=None)


def put(parameter: nn.Parameter, value: Tensor) -> None:
    """Have a parameter be this tensor, of whatever format; of one that is spread, the own part with it."""
    parameter.data = value
    if is_part(parameter):
        part: Any = value
        parameter._local_tensor, parameter._spec = part._local_tensor, part._spec  # type: ignore[attr-defined]


@contextmanager
def up_to(layers: nn.ModuleList, last: int) -> Iterator[None]:
    """Have a model end with layer ``last`` for a while.

    An exception out of its forward pass would leave FSDP in the middle of it.
    """
    kept = layers._modules
    layers._modules = dict(list(kept.items())[: last + 1])
    try:
        yield
    finally:
        layers._modules = kept


def full_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights by name on the CPU of the first process; of the others nothing."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights: Any = get_model_state_dict(model, options=options)
    return weights


def _in_group() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _parts(model: nn.Module) -> Iterator[Any]:
    """What of a model gathers its weights at a time."""
    return (module for module in model.modules() if is_sharded(module))


def _count_once(model: nn.Module, times: int) -> None:
    """Say how often each text of a batch is in the sum over processes."""
    for part in _parts(model):
        part.set_gradient_divide_factor(float(times))
