"""A causal language model: load it, take it apart, batch text for it, train it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "attribution",
        "embedded",
        "files",
        "lens",
        "loading",
        "lora",
        "losses",
        "models",
        "neurons",
        "outputs",
        "tokens",
        "train",
    ],
)
