"""The optimiser that methods, attacks and targets share. No heavy import before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ..errors import HarnessError

if TYPE_CHECKING:
    import torch

FUSED = 10_000_000
"""Parameters from which on a step goes over all of them in one kernel: the memory's pace is what it costs."""

ADAMW: Final = "adamw"
KINDS = {
    "adamw_8bit": "AdamW8bit",
    "paged_adamw_32bit": "PagedAdamW32bit",
    "paged_adamw_8bit": "PagedAdamW8bit",
}
"""AdamW with moments in 8 bits (2110.02861), or paged out to the machine's memory: classes of bitsandbytes by
the names that transformers gives them."""

_kind = ContextVar("kind", default=ADAMW)


def adamw(parameters: Sequence[torch.nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (1711.05101) with its usual betas, and decoupled weight decay.

    Where the run says so, its moments are in 8 bits or paged. Raises HarnessError where that cannot be had.
    """
    from torch.optim import AdamW

    parameters = list(parameters)
    if (kind := _kind.get()) != ADAMW:
        return _saving(kind)(parameters, lr=lr, weight_decay=weight_decay)
    large = sum(parameter.numel() for parameter in parameters) >= FUSED
    return AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=large or None)


@contextmanager
def of_kind(kind: str) -> Iterator[None]:
    """Have :func:`adamw` make this kind of optimiser meanwhile."""
    token = _kind.set(kind)
    try:
        yield
    finally:
        _kind.reset(token)


def check_installed(kind: str) -> None:
    """Raise HarnessError where what makes this kind of optimiser is not installed."""
    if kind != ADAMW and find_spec("bitsandbytes") is None:
        raise HarnessError(
            f"--optimizer {kind} needs bitsandbytes: pip install 'unlearning-harness[bitsandbytes]'."
        )


def _saving(kind: str) -> Any:
    """The class of a kind of optimiser."""
    check_installed(kind)
    try:
        return getattr(import_module("bitsandbytes.optim"), KINDS[kind])
    except Exception as error:  # built for another device, it raises whatever it likes
        raise HarnessError(f"--optimizer {kind}: bitsandbytes cannot be used here: {error}.") from error
