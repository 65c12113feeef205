"""Faults that a test switches on and off while a run goes on."""

import os
from pathlib import Path


def fault(name):
    """The file by which a test switches a fault on, or None."""
    path = Path(os.environ.get("STUB_FAULTS", "/nowhere")) / name
    return path if path.exists() else None
