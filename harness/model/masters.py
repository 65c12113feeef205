"""Masters: float32 copies of parameters in a coarser number format, which optimisers step in their place.

Neighbouring numbers of bfloat16 are 0.4 % to 0.8 % apart. A step of AdamW at a rate of 1e-5 is less than
half of that for nearly every weight and would be rounded away, and a second moment that falls by 0.1 % a step
would stay where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import HarnessError
from .sharding import put


class Masters:
    """The masters of a model's parameters while it trains. One in float32 or better has none."""

    def __init__(self) -> None:
        self._of: dict[nn.Parameter, Tensor] = {}

    @contextmanager
    def stepping(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
        """Make every parameter with a gradient its master for a while, and round it back afterwards.

        The parameters stay the same objects, so that whatever knows them (an optimiser's groups or a list of
        its own, masks, hooks) steps the masters; gradients and the optimisers' state are in float32, too.
        The gradients are gone afterwards.
        """
        coarse = {p: p.data for p in model.parameters() if p.grad is not None and bits(p) < 32}
        try:
            for parameter in coarse:
                self._enter(parameter)
            for optimizer in optimizers:
                for parameter, values in coarse.items():
                    refine(optimizer.state.get(parameter, {}), values.dtype)
            yield
        finally:
            for parameter, values in coarse.items():
                parameter.grad = None
                put(parameter, values.copy_(parameter.data))  # in place: views of the weights stay valid

    def _enter(self, parameter: nn.Parameter) -> None:
        """Put master and gradient in float32 into a parameter; the coarse gradient is freed."""
        values, gradient = parameter.data, parameter.grad
        assert gradient is not None
        parameter.grad = None
        master = self._of.get(parameter)
        if master is None:
            master = values.float()
        else:  # what was written to the weights since the last step counts, such as a projection's result
            master = torch.where(master.to(values.dtype) == values, master, values)
        self._of[parameter] = master
        put(parameter, master)
        parameter.grad = gradient.float()


def bits(tensor: Tensor) -> int:
    """How many bits a number of this tensor takes."""
    return torch.finfo(tensor.dtype).bits


def refine(state: dict[str, object], dtype: torch.dtype) -> None:
    """Put what an optimiser keeps in ``dtype`` into float32: some make it before their first step."""
    for name, value in state.items():
        if isinstance(value, Tensor) and value.dtype == dtype:
            state[name] = value.float()


def check_trains(model: nn.Module) -> None:
    """Raise HarnessError for a model in float16, whose gradients would be lost."""
    if any(parameter.dtype == torch.float16 for parameter in model.parameters()):
        raise HarnessError(
            "A model in float16 is not trained: gradients below 6e-8 become 0 there, and losses are not "
            "scaled. Use --dtype bfloat16 or float32."
        )
