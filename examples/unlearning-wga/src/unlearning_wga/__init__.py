"""Weighted gradient ascent, and interpolation with the original, for unlearning-harness."""

from harness import Register, hookimpl

# Paths and not classes: `harness list` must not import torch.


@hookimpl
def register_methods(register: Register) -> None:
    """Register the method."""
    register("weighted-ascent", "unlearning_wga.wga:WeightedGradientAscent")


@hookimpl
def register_attacks(register: Register) -> None:
    """Register the attack."""
    register("interpolate", "unlearning_wga.interpolate:Interpolate")
