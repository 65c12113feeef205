"""RWKU, from the published files. Nothing is loaded before it is used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"benchmark": ["Rwku", "RwkuConfig"]}
)
