"""Tells erasing from hiding: unlearning methods against attacks that bring the knowledge back."""

from .hookspecs import hookimpl

__all__ = ["hookimpl"]
