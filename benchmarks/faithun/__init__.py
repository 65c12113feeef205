"""FaithUn, from the authors' files and as an embedded world."""

from .benchmark import FaithUn, FaithUnMini

__all__ = ["FaithUn", "FaithUnMini"]
