"""What the process of a command makes of its streams and of errors in its arguments."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from rich.text import Text
from typer.core import TyperGroup

from ..errors import shortened
from ..report.console import say


class Commands(TyperGroup):
    """A group of commands, down to the last one, that quotes long arguments in short."""

    def make_context(self, *args, **extra):  # type: ignore[no-untyped-def]
        """As typer does."""
        with _in_short():
            return super().make_context(*args, **extra)

    def invoke(self, *args, **extra):  # type: ignore[no-untyped-def]
        """As typer does."""
        with _in_short():
            return super().invoke(*args, **extra)


@contextlib.contextmanager
def _in_short() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # typer brings click's exceptions along or imports them, by its version.
        if hasattr(error, "format_message") and isinstance(message := getattr(error, "message", None), str):
            error.message = shortened(message)  # type: ignore[attr-defined]
        raise


def open_streams() -> None:
    """Have all three standard streams be there, and standard output take any text.

    Where one was closed, the next file to be opened would get its number, and whatever a library prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free: this one
    with contextlib.suppress(AttributeError, ValueError):  # a stream of a test or notebook, or none at all
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]


def stop(reason: str) -> None:
    """Say what the user can mend, if anybody hears it, and exit with 2."""
    with contextlib.suppress(OSError):
        say(Text.assemble(("Error: ", "bold red"), reason), stderr=True)
    sys.exit(2)


def stop_for_system(error: OSError) -> None:
    """The same for a full disk or a refused file; what is still to be printed goes nowhere."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        # Otherwise it would be tried, and complained about, once more when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    what = error.strerror or str(error)
    stop(shortened(f"{error.filename}: {what}." if error.filename else f"{what}."))
