"""Activation checkpointing (1604.06174): of a decoder layer only the input is kept, the rest computed again.

transformers' own is for models in training mode, whose dropout would then be on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .models import blocks


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Have every decoder layer run again in the backward pass; gradients are the same to the bit.

    Hooks on a layer itself run once, those on parts of it twice, and must still be there in the backward
    pass: what they did to the output is done again.
    """
    layers: list[Any] = list(blocks(model))
    for layer in layers:
        layer.forward = partial(_again, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # of the object, so that its class's is there again


def _again(forward: Callable[..., Any], *args: Any, **more: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **more)
    # No layer draws random numbers: dropout is off.
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **more)
