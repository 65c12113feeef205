"""What a run does to need less memory: other places and formats, or a second forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from .optimizers import ADAMW


@dataclass(frozen=True, slots=True)
class MemorySavings:
    """How unlearning and attacks save memory of the device. None of it is on by default."""

    optimizer: str = ADAMW
    """Where and in which format AdamW keeps its moments, a key of :data:`harness.core.optimizers.KINDS`."""
    offload: bool = False
    """Snapshots to start from again and the frozen reference lie in the memory of the machine."""
    checkpointing: bool = False
    """Activations within a decoder layer are computed once more for the backward pass (1604.06174)."""


NO_SAVINGS = MemorySavings()
"""What is not told otherwise."""
