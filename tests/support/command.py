"""The command line run in this process."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass

import harness.cli.main


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What an error says."""
        return self.err.removeprefix("Error: ").strip()


def harness_cli(*arguments: object) -> Ended:
    """Run ``harness`` in this process, as in a pipe."""
    out, err, argv, code = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = ["harness", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            harness.cli.main.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = argv
    return Ended(code, out.getvalue(), err.getvalue())
