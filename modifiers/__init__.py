"""The built-in modifiers, one file each: ``npo+sam`` is a method with one over it."""

from harness import Register, hookimpl

# Paths and not classes: `harness list` must not import torch.
MODIFIERS = {
    "sam": "harness.modifiers.sam:SAM",
    "ilu": "harness.modifiers.ilu:ILU",
    "project": "harness.modifiers.project:Project",
    "layered": "harness.modifiers.layered:Layered",
    "signsgd": "harness.modifiers.signsgd:SignSGD",
    "undo": "harness.modifiers.undo:UNDO",
}


@hookimpl
def register_modifiers(register: Register) -> None:
    """Register every built-in modifier."""
    for name, path in MODIFIERS.items():
        register(name, path)
