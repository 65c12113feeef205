"""Where what outlives a run is kept: models that were converted or trained, and what twins scored."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_directory() -> Path:
    """$HARNESS_CACHE, or the user's cache directory on this system."""
    chosen = os.environ.get("HARNESS_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("unlearning-harness", appauthor=False)
