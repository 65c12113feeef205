"""Rules for modifiers and for methods with modifiers over them, checked on two-layer models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.base import Method
from ..core.batch import Batch
from ..core.composition import Composition, compose
from ..core.config import Field, MethodConfig
from ..core.modifier import Modifier
from ..model import losses
from . import methods, sandbox
from .method_trial import RATES, MethodTrial
from .observe import repeating_kernels
from .rules import Result, Skipped, Violation, results, rule


class Plain(Method):
    """Gradient difference: what a modifier is tried over."""

    name = "plain"

    class Config(MethodConfig):
        alpha: float = Field(1.0, ge=0, description="weight of the retain loss")

    def loss(self, model: Any, batch: Batch) -> Any:
        yield "forget", -losses.cross_entropy(model, batch.forget)
        yield "retain", self.config.alpha * losses.cross_entropy(model, batch.retain)


@rule(
    "goes over a gradient difference",
    "Let `refuses` return None where a method has named terms, trains all weights, and has a retain term.",
)
def composes(modifier: type[Modifier]) -> str:
    return compose(Plain, (modifier,)).name


def over_plain(modifier: type[Modifier], settings: dict[str, Any]) -> Iterator[Result]:
    """The result of each rule for a modifier, which is tried over the plain method."""
    first = composes.result(modifier, modifier)
    yield first
    if first.status == "ok":
        cls = compose(Plain, (modifier,))
        trial = MethodTrial(cls, {f"{modifier.name}.{name}": value for name, value in settings.items()})
        yield from results(RULES, trial, modifier)


@rule(
    "changes nothing where it says so",
    "Name in `identity` the settings with which a modifier changes nothing, such as a strength of 0, and "
    "hand on to self.base what it overrides as soon as they hold: weights must be equal to the last bit.",
)
def identity(trial: MethodTrial) -> str:
    assert trial.runs
    assert issubclass(trial.cls, Composition)
    base, *modifiers = trial.cls.parts
    if silent := [modifier.name for modifier in modifiers if not modifier.identity]:
        raise Violation(f"{silent[0]} names no settings with which it changes nothing")
    off = {f"{each.name}.{k}": v for each in modifiers for k, v in each.identity.items()}
    own = {name: value for name, value in trial.settings.items() if "." not in name}
    with repeating_kernels() as lacking:
        plain = MethodTrial(base, own).run(rates=RATES[:1])
        same = MethodTrial(trial.cls, {**trial.settings, **off}).run(rates=RATES[:1])
    difference = sandbox.difference(plain.weights, same.weights)
    if difference and lacking:
        raise Skipped(f"{lacking[0]} does not repeat itself on this device, and so nobody can tell")
    if difference:
        raise Violation(f"with {off}, weights differ from those of {base.name} by up to {difference:.2g}")
    shown = ", ".join(f"{name}={value}" for name, value in off.items())
    return f"with {shown} it is {base.name}, to the last bit"


RULES = (*methods.RULES, identity)
