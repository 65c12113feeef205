"""The embedded world, built when this is first imported."""

from __future__ import annotations

from .build import build

WORLD = build()
