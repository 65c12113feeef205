"""Claims: files that one process at a time holds, so that two runs in one directory share the work.

A claim is the system's lock on the file (flock) and not the file itself: it ends with its process, however
that ends, and what a killed run left behind is free. Where a file system knows no locks, nothing is held.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError

TRIES = 10_000
"""Times that others may come between before something else is taken to be wrong."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that this process holds until it gives it back, or ends."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Give it back; the last one takes the directory of claims with it."""
        with suppress(OSError):
            self.path.unlink()
        with suppress(OSError):
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)
        with suppress(OSError):
            self.path.parent.rmdir()


def take(path: Path) -> Claim | None:
    """The claim of that file, or None while another process holds it. Raises StoreError."""
    for _ in range(TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        except (FileNotFoundError, FileExistsError):  # another has just removed the directory, or made it
            continue
        except OSError as error:
            raise StoreError(f"{path} could not be written ({error.strerror or error}).") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            return Claim(path, descriptor)
        with suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return Claim(path, descriptor)
        os.close(descriptor)  # it was given back, and removed, between the two
    raise StoreError(f"{path.parent} is not a directory that claims can be kept in; move it away.")


@contextmanager
def held(path: Path, again: float = 0.1) -> Iterator[None]:
    """Hold the claim of that file, once other processes have given it back. Raises StoreError."""
    while (claim := take(path)) is None:
        time.sleep(again)
    try:
        yield
    finally:
        claim.release()


def sweep(directory: Path) -> None:
    """Remove the claims that nobody holds any more, and their directory where it holds no other."""
    with suppress(StoreError, OSError):  # what cannot be written holds nobody up
        for path in [*directory.glob("*")] if directory.is_dir() else ():
            if claim := take(path):
                claim.release()
        directory.rmdir()  # whose last claim was removed by a process that was killed just then
