"""TOFU, from the published files and as an embedded world."""

from .benchmark import Tofu, TofuConfig, TofuMini
from .files import to_facts

__all__ = ["Tofu", "TofuConfig", "TofuMini", "to_facts"]
