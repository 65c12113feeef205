"""Ask a model, and turn its answers into numbers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "continuations",
        "decode",
        "forward",
        "membership",
        "metrics",
        "requests",
        "sampling",
        "scorer",
    ],
)
