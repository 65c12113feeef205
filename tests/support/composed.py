"""Methods with modifiers over them, made of classes, and the gradients of one step."""

from __future__ import annotations

from accelerate import Accelerator

from harness.core.base import Method
from harness.core.composition import compose
from harness.core.config import MethodConfig
from harness.core.types import Cost
from harness.model import losses
from harness.model.train import Step


class Opposed(Method):
    """Gradient difference."""

    name = "opposed"

    class Config(MethodConfig):
        pass

    def loss(self, model, batch):
        yield "forget", -losses.cross_entropy(model, batch.forget)
        yield "retain", losses.cross_entropy(model, batch.retain)


def over(method, *modifiers, **settings):
    """A method with modifiers over it; ``sam_rho`` is the setting ``sam.rho``."""
    cls = compose(method, modifiers)
    return cls(cls.Config(**settings))


def step_of(method, model, *batches):
    device = next(model.parameters()).device
    return Step(model, batches, method.loss, Accelerator(), device, 1, Cost())


def gradients_of(method, model, *batches, by_name=False):
    """The gradients of a step as the modifier makes them: by name, or summed, one for each parameter."""
    made = method.step_gradients(step_of(method, model, *batches), by_name)
    if by_name:
        return {name: [term.get(p) for p in model.parameters()] for name, term in made.items()}
    return [sum(term[p] for term in made.values() if p in term) for p in model.parameters()]
