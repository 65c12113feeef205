"""Optimisers of methods leave the harness's code as they find it, in a process that has made none yet."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import torch
from harness.engine.surroundings import Surroundings
from harness.plugins.registry import Registry

registry = Registry()
for name in registry.methods:
    registry.method(name).load()
before = Surroundings()
own = [
    value
    for name, module in list(sys.modules.items()) if name.startswith("harness.")
    for value in list(vars(module).values())
    if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value.__module__ == name
]
for cls in [*own, torch.optim.AdamW, torch.optim.SGD]:
    cls([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
print([cls.__name__ for cls in own], before.changes())
"""


def test_the_first_optimiser_of_a_class_replaces_nothing():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ended.stdout == "['Sophia'] []\n"
