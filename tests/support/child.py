"""The command line in a child process that a test may interrupt or kill."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness.cli.main
import harness.runner.process
from support.command import Ended


class Child:
    """``harness`` in a process and process group of its own, forked from this one to save the imports.

    Its workers are forked, too, unless ``spawn``: then a fork server starts them, as it does for a user.
    """

    def __init__(self, folder: Path, *arguments: object, spawn: bool = False) -> None:
        self.printed = [folder / f"{name}-{time.monotonic_ns()}" for name in ("out", "err")]
        for path in self.printed:  # before the fork: the child may be killed before it writes a word
            path.touch()
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run([str(argument) for argument in arguments], spawn)

    def _run(self, arguments: list[str], spawn: bool) -> None:
        code = 70
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number, path in enumerate(self.printed, 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
            harness.runner.process.START = "forkserver" if spawn else "fork"
            sys.argv = ["harness", *arguments]
            if "STUB_TRAP" in os.environ:
                importlib.import_module("stub_plugin.faults").trap()
            harness.cli.main.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)

    def alive(self) -> bool:
        """False as soon as it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def wait(self) -> Ended:
        """How it ended; a test that would hang fails instead."""
        eventually(lambda: not self.alive(), "the run did not end", 120)
        assert self.code is not None
        return Ended(self.code, *(path.read_text() for path in self.printed))

    def kill(self, what: int = signal.SIGKILL) -> None:
        """Signal the process itself, and none of its workers."""
        if self.alive():
            os.kill(self.pid, what)

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT for the whole process group."""
        os.killpg(self.pid, signal.SIGINT)

    def group(self) -> list[int]:
        """Its processes that run: itself and its workers, even when they have lost their parent."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._runs(pid)]

    def _runs(self, pid: int) -> bool:
        try:
            state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            return False
        return int(group) == self.pid and state not in "ZX"

    def clean_up(self) -> None:
        """End whatever is left of it."""
        for pid in self.group():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()


def eventually(true: Callable[[], Any], otherwise: str, seconds: float = 30) -> None:
    """Wait until ``true()``; how long it takes is no part of any statement."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)
