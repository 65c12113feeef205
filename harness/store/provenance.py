"""Under what circumstances a number was made: typed, without secrets, host names or paths."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "unlearning-harness"
"""This package, in tables."""

PACKAGES = (DISTRIBUTION, "torch", "transformers", "accelerate", "pyarrow", "lm_eval")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a reader needs to judge whether two numbers may differ because of where they were made."""

    commit: str | None
    """Git commit of the checkout the package runs from; None when it is installed from a wheel."""

    dirty: bool | None
    """Whether that checkout held changes or new Python files outside the commit; None without one."""

    packages: dict[str, str | None]
    """Installed versions of the packages that compute or store; None for one that is not installed."""

    python: str
    """Version of the interpreter, e.g. ``3.11.7``."""

    platform: str
    """Operating system, kernel and machine, e.g. ``Linux-6.1-x86_64-with-glibc2.36``."""

    cpu: str
    """Model name of the processor, or its architecture where the system tells no more."""

    cores: int
    """Cores this process may use."""

    gpu: str | None
    """Model name of the accelerator; None on a CPU."""

    started_at: str
    """When the cell was started, UTC, ISO 8601 with microseconds: later cells sort after earlier ones."""


def collect(gpu: str | None = None) -> Provenance:
    """The record for a cell that starts now. ``gpu`` is passed in, because asking for it would load torch."""
    commit, dirty = _checkout()
    return Provenance(
        commit=commit,
        dirty=dirty,
        packages=dict(_versions()),
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=_cpu(),
        cores=cores(),
        gpu=gpu,
        started_at=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache
def _checkout() -> tuple[str | None, bool | None]:
    """Commit and dirty flag, once per process: the code that runs is the code that was there at its start."""
    here = Path(__file__)
    # A wheel may lie in a virtual environment inside somebody else's checkout: only a tracked file is ours.
    if _git("ls-files", "--error-unmatch", here.name, folder=here.parent) is None:
        return None, None
    status = _git("status", "--porcelain=v2", "--branch", "--untracked-files=all", folder=here.parent)
    lines = (status or "").splitlines()
    oid = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    changed = [line for line in lines if not line.startswith("#")]
    return oid, any(not line.startswith("? ") or line.endswith(".py") for line in changed)


def _git(*arguments: str, folder: Path) -> str | None:
    """What git answers, or None if it is not installed or does not know the folder."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@lru_cache
def _versions() -> tuple[tuple[str, str | None], ...]:
    return tuple((name, _version(name)) for name in PACKAGES)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@lru_cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
