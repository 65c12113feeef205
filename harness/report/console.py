"""What is printed, where, and how much of it: the one place that knows --quiet and --verbose.

Loads nothing heavy. Colours are rich's: none in a pipe, none under NO_COLOR.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from textwrap import fill
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from .escape import plain
from .stream import Lenient

WIDTH = 80
"""Columns of what is written for any terminal, and of text that goes to none."""


class Level(IntEnum):
    """How much is told on the way. What a command was asked for, and errors, are told at each of them."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


_level: ContextVar[Level] = ContextVar("level", default=Level.NORMAL)


def level() -> Level:
    """How much is to be told. Other threads do not know: ask before starting them."""
    return _level.get()


@contextmanager
def telling(much: Level) -> Iterator[None]:
    """Tell that much, for a while."""
    before = _level.set(much)
    try:
        yield
    finally:
        _level.reset(before)


class Plain(Console):
    """A console in which text is text: only rich itself moves the cursor and changes colours.

    All that is printed comes through here, lines, tables and bars.
    """

    def __init__(self, **options: Any) -> None:
        # In a notebook it writes plain text, as to a pipe, and no HTML for each line.
        super().__init__(highlight=False, markup=False, emoji=False, force_jupyter=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


def console(stderr: bool = False) -> Console:
    """A console for each use: tests and pipes replace sys.stdout, and the environment may say NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    file: Any = None if stream is None else Lenient(getattr(stream, "rich_proxied_file", stream))
    return Plain(file=file, stderr=stderr)


def say(what: str | Text | Table = "", stderr: bool = False) -> None:
    """Print ``what`` as it is: only the tables are fitted to the width of the terminal."""
    console(stderr).print(what, soft_wrap=not isinstance(what, Table))


def note(what: str | Text | Table = "") -> None:
    """Say what accompanies the work, unless --quiet."""
    if level() > Level.QUIET:
        say(what)


def printed(what: Iterable[str | Text | Table]) -> str:
    """What would be printed, as text without colours, in eighty columns."""
    file = io.StringIO()
    console = Plain(file=file, width=WIDTH, color_system=None)
    for piece in what:
        console.print(piece, soft_wrap=not isinstance(piece, Table))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def paragraph(sentence: str, indent: str = "") -> str:
    """A sentence in lines of eighty columns, without a break in a name; the later ones are indented."""
    return fill(sentence, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table | str:
    """A table in which long cells wrap, so that nothing is cut off in a pipe of 80 columns."""
    if not rows:
        return f"{title}: none\n"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    for column in columns:
        # The first column is a name to copy: it stays in one piece, and the others wrap around it.
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(*map(Text, row))
    return table
