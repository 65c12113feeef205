"""The protocol of a model's size: budgets and learning rates, and how they fill open settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.base import Attack, Method
from ..core.config import Config


@dataclass(frozen=True, slots=True)
class Protocol:
    """Budgets and rates that go with the size of a model; any of them can be set per method or attack.

    ``learning_rates`` is the grid for unlearning, ``attack_lr_scale`` multiplies an attack's published rates,
    ``adapter_lr_scale`` those of an attack that trains LoRA adapters.
    """

    learning_rates: tuple[float, ...]
    epochs: int
    batch_size: int
    check_every: int | None
    """Steps between checks of the forgetting threshold; None checks after each pass over the forget set."""
    attack_lr_scale: float
    adapter_lr_scale: float = 1.0


PUBLISHED = Protocol((1e-5, 2e-5, 5e-5), epochs=10, batch_size=32, check_every=None, attack_lr_scale=1.0)
"""For 1B-8B models (Ssiuu, 2509.22263, appendix)."""

EMBEDDED = Protocol(
    (1e-4, 2e-4, 5e-4),
    epochs=60,
    batch_size=16,
    check_every=10,
    attack_lr_scale=100.0,
    adapter_lr_scale=20.0,
)
"""For the embedded model, some thousand times smaller: the published grid times 10, attacks' rates times 100,
adapters' times 20. Measured so that the lowest rate reaches the threshold with most of the retain set left,
and the highest attack rate recovers the refusal control without hurting the untouched model."""


def with_protocol(method: type[Method], config: Config, protocol: Protocol) -> Config:
    """The settings a method leaves open, filled from the target's protocol."""
    rates = tuple(float(f"{rate * method.rate_scale:.6g}") for rate in protocol.learning_rates)
    filled = {"learning_rates": rates, "epochs": protocol.epochs, "batch_size": protocol.batch_size}
    return config.model_copy(
        update={name: value for name, value in filled.items() if getattr(config, name, 0) is None}
    )


def with_rates(attack: type[Attack], config: Config, protocol: Protocol) -> Config:
    """The rates an attack leaves open: the published ones times the target's scale."""
    if getattr(config, "learning_rates", ()) is not None:
        return config
    adapters = getattr(config, "lora_r", None) is not None
    scale = protocol.adapter_lr_scale if adapters else protocol.attack_lr_scale
    scaled = tuple(float(f"{rate * scale:.6g}") for rate in attack.rates)
    return config.model_copy(update={"learning_rates": scaled})
