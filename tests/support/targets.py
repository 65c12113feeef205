"""The models of the embedded world, trained once for all workers of a test run."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from harness.engine.source import Source
from harness.engine.targets import recipes


def trained(tmp_path_factory, benchmark, splits, *roles) -> tuple[Path, dict[str, Path]]:
    """A cache with the targets of these roles, and each one's directory.

    HARNESS_TEST_CACHE names a cache that outlives the tests: `make regenerate` goes on with its models.
    """
    shared = tmp_path_factory.getbasetemp().parent
    cache = Path(os.environ.get("HARNESS_TEST_CACHE") or shared / "cache")
    made = recipes(benchmark, splits, Source())
    with FileLock(shared / "target.lock"):
        return cache, {role: made[role].make(cache) for role in roles}
