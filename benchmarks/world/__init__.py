"""The embedded world: people and authors who do not exist, in the schemas of FaithUn and TOFU."""

from .build import World, world

__all__ = ["World", "world"]
