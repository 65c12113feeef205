"""The protocol of a model's size: budgets and learning rates, and how they fill open settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.base import Attack, Method
from ..core.config import Config


@dataclass(frozen=True, slots=True)
class Protocol:
    """Budgets and rates that go with the size of a model; any of them can be set per method or attack.

    ``learning_rates`` is the grid for unlearning, ``attack_lr_scale`` multiplies an attack's published rates,
    ``adapter_lr_scale`` those of an attack that trains LoRA adapters. An attack takes the ``attack_rates``
    highest of them, or all, and ``attack_steps`` steps of ``attack_batch_size`` examples at each.
    """

    learning_rates: tuple[float, ...]
    epochs: int
    batch_size: int
    check_every: int | None
    """Steps between checks of the forgetting threshold; None checks after each pass over the forget set."""
    attack_lr_scale: float
    adapter_lr_scale: float = 1.0
    attack_rates: int | None = None
    attack_steps: int = 40
    attack_batch_size: int = 32


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

SMALL = Protocol(
    (5e-5, 1e-4, 2.5e-4),
    epochs=30,
    batch_size=64,
    check_every=1,
    attack_lr_scale=5.0,
    attack_rates=1,
    attack_steps=20,
    attack_batch_size=16,
)
"""For a pretrained model of 135M parameters: published rates times 5, for unlearning and attacks. All of some
thirty facts are in a step, and each is looked at: the first ten decide. Of private-data's rates the highest
brought back the most, all of it within 20 steps, from a model that GD had unlearned."""

RUNGS = {5e5: EMBEDDED, 1.35e8: SMALL, 1e9: PUBLISHED}
"""By the parameters of the models that they were measured on; the published ones from the smallest on."""


def fitting(parameters: int) -> Protocol:
    """The protocol of the size that is nearest on a logarithmic scale."""
    return RUNGS[min(RUNGS, key=lambda size: abs(math.log(parameters / size)))]


def with_protocol(method: type[Method], config: Config, protocol: Protocol) -> Config:
    """The settings a method leaves open, filled from the target's protocol."""
    rates = _scaled(protocol.learning_rates, method.rate_scale)
    filled = {"learning_rates": rates, "epochs": protocol.epochs, "batch_size": protocol.batch_size}
    return _filled(config, filled)


def with_budget(attack: type[Attack], config: Config, protocol: Protocol) -> Config:
    """The settings an attack leaves open: its steps, and the published rates times the target's scale."""
    adapters = getattr(config, "lora_r", None) is not None
    scale = protocol.adapter_lr_scale if adapters else protocol.attack_lr_scale
    highest = sorted(attack.rates, reverse=True)[: protocol.attack_rates]
    filled = {
        "learning_rates": _scaled([rate for rate in attack.rates if rate in highest], scale),
        "steps": protocol.attack_steps,
        "batch_size": protocol.attack_batch_size,
    }
    return _filled(config, filled)


def _scaled(rates: Iterable[float], scale: float) -> tuple[float, ...]:
    """Rates times a scale, without the last digits of floating point."""
    return tuple(float(f"{rate * scale:.6g}") for rate in rates)


def _filled(config: Config, values: Mapping[str, Any]) -> Config:
    """The settings, with a value for each that it has and leaves open."""
    update = {name: value for name, value in values.items() if getattr(config, name, 0) is None}
    return config.model_copy(update=update)
