"""The embedded world: people and authors who do not exist, in the schemas of FaithUn and TOFU."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"build": ["World", "world"]})
