"""The built-in analyses, one file each. They come in by the same hook as a stranger's."""

from harness import Register, hookimpl

# Paths and not classes: `harness list` must not import torch.
ANALYSES = {
    "influence": "harness.analyses.influence:Influence",
    "lens": "harness.analyses.lens:LogitLens",
    "stability": "harness.analyses.stability:Stability",
    "weights": "harness.analyses.weights:WeightChange",
    "steps": "harness.analyses.steps:Steps",
}


@hookimpl
def register_analyses(register: Register) -> None:
    """Register every built-in analysis."""
    for name, path in ANALYSES.items():
        register(name, path)
