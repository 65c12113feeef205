"""Short runs of methods that train a part of a model."""

from __future__ import annotations

import copy

import torch

from harness.engine.unlearning import unlearn
from harness.model.models import blocks, linear_modules
from harness.model.neurons import feed_forwards, sizes
from support.equations import flat


def settings(method, rate=1e-3, **more):
    """Settings for a short run at one rate."""
    return method.Config(**({"learning_rates": (rate,), "epochs": 2, "batch_size": 4} | more))


def assert_same_gradient(parameters, found, expected, near=1e-6):
    torch.testing.assert_close(found.double(), expected, atol=near, rtol=near)
    parameters = list(parameters)
    left, right = (flat(torch.autograd.grad(value, parameters)) for value in (found, expected))
    assert right.norm() > 0
    assert (left - right).norm() <= near * right.norm()


def unlearnt(method, job, seed=3, micro=None):
    """Unlearn a copy of the job's model; return the job that did it."""
    subject = copy.copy(job.subject)
    subject.model, subject.micro_batch = copy.deepcopy(job.model), micro
    return unlearn(subject, method, seed)


def entries(model, chosen, into, attention=False):
    """Of each tensor of the state, the entries that may train: written out per kind of module."""
    free = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in model.state_dict().items()}
    names = {parameter: name for name, parameter in model.named_parameters(remove_duplicate=False)}
    for part, units in zip(feed_forwards(model), chosen, strict=True):
        for unit in units.nonzero().flatten().tolist():
            plain = isinstance(part.out, torch.nn.Linear)
            free[names[part.out.weight]][(slice(None), unit) if plain else (unit, slice(None))] = True
            for module in part.into if into else ():
                for row in range(unit, sizes(module)[1], part.units):  # of the gate, and of the map behind it
                    free[names[module.weight]][(row, slice(None)) if plain else (slice(None), row)] = True
                    if module.bias is not None:
                        free[names[module.bias]][row] = True
    for block in blocks(model) if attention else ():
        for path, module in linear_modules(block).items():
            if "att" in path:
                for parameter in module.parameters():
                    free[names[parameter]][:] = True
    return free
