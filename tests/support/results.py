"""Results directories as plain rows, to compare them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness.store.store import Store

COST = ("seconds", "peak_memory_mib", "provenance", "content")
"""Columns of a cell that say what it took and where, and not what it found; the digest is over those, too."""


def numbers(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Everything that a results directory holds, without what it took."""
    store = Store(results)
    tables = {"cells": store.cells(), "metrics": store.metrics(), "samples": store.samples()}
    return {name: table.drop(COST if name == "cells" else []).to_pylist() for name, table in tables.items()}


def rows(results: Path, **wanted: object) -> list[dict[str, Any]]:
    """The rows of ``cells`` with these values."""
    return [r for r in Store(results).cells().to_pylist() if all(r[k] == v for k, v in wanted.items())]


def committed(results: Path) -> dict[str, tuple[int, int]]:
    """By key, what changes when a cell is written again."""
    files = [(path.stem, path.stat()) for path in (results / "cells").glob("*.parquet")]
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in files}


def total(text: str) -> tuple[int, int]:
    """How many cells a plan announces, and how many of them are there."""
    found = re.search(r"cells: (\d+), of which (\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])
