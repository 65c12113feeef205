"""Names for files and directories that are written aside and then renamed, and the removal of what was left.

The name says which process on which machine writes there. What a process left that has ended is removed; of
another machine, whose processes cannot be asked, when it is a day old.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

NAME = re.compile(r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.part")
OLD = 24 * 3600
"""Seconds after which what another machine writes counts as left behind."""


def aside(path: Path) -> Path:
    """A name beside ``path`` that nobody else uses."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part")


def sweep(directory: Path) -> None:
    """Remove what processes that have ended left in a directory. What cannot be removed stays."""
    with suppress(OSError):
        for path in list(directory.glob(".*.part")):
            if _left(path):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _left(path: Path) -> bool:
    match = NAME.fullmatch(path.name)
    if match is None:
        return False
    if match["machine"] == _machine():
        return not _runs(int(match["pid"]))
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > OLD
    return False


def _runs(pid: int) -> bool:
    """Whether a process does anything: one that has ended may wait long for its parent to ask how."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return True


@lru_cache
def _machine() -> str:
    """Which machine or container this is since it was started: process ids mean something there alone."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    with suppress(OSError):
        return _short(boot.read_text() + os.readlink("/proc/self/ns/pid"))
    return _short(platform.node())


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
