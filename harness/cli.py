"""The command line: a thin layer that parses, calls the engine, and prints.

Import what is heavy inside the command that needs it: ``harness --help`` and ``harness list`` load no torch.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import HarnessError
from .plugins import DISTRIBUTION

if TYPE_CHECKING:
    from .base import Plugin
    from .registry import Entry

app = typer.Typer(
    help="Tell erasing from hiding: run unlearning methods against attacks that bring the knowledge back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """The console script. What the user can mend is printed as ``Error: ...`` and exits with 2."""
    try:
        app()
    except HarnessError as error:
        say(Text.assemble(("Error: ", "bold red"), str(error)), stderr=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def say(what: str | Text | Table = "", stderr: bool = False) -> None:
    """Print ``what`` as it is: only the tables are fitted to the width of the terminal."""
    # A console for each call: tests and pipes replace sys.stdout, and the environment may say NO_COLOR.
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    console.print(what, soft_wrap=not isinstance(what, Table))


def _version(wanted: bool) -> None:
    if wanted:
        say(f"harness {metadata.version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command("list")
def list_plugins() -> None:
    """List the methods, attacks and benchmarks that are installed."""
    from .registry import Registry

    registry = Registry()
    for title, entries in [
        ("methods", registry.methods),
        ("attacks", registry.attacks),
        ("benchmarks", registry.benchmarks),
    ]:
        rows = [(entry.name, entry.summary(), entry.owner) for entry in entries.values()]
        say(_table(title, ("name", "what it is", "from"), rows))
    if registry.broken:
        say(Text("Left out:", "bold yellow"), stderr=True)
    for broken in registry.broken:
        say(f"  {broken}", stderr=True)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A method, an attack or a benchmark.")]) -> None:
    """Show what a plugin does, the paper it comes from, and its settings."""
    from .registry import Registry

    for entry in Registry().named(name):
        _show(entry)


def _show(entry: Entry) -> None:
    from .settings import settings_of

    cls = entry.load()
    say(Text.assemble((f"{entry.kind} {entry.name}", "bold"), f"  {entry.path}, {entry.owner}"))
    say(f"\n{inspect.cleandoc(cls.__doc__ or '')}\n")
    for title, text in _facts(cls).items():
        say(Text.assemble((f"{title}: ", "bold"), text))
    say()
    rows = [
        (f"{entry.name}.{setting.name}", setting.allowed, setting.default, setting.description)
        for setting in settings_of(cls).values()
    ]
    say(_table("settings", ("--set", "allowed", "default", "what it is"), rows))


def _facts(cls: type[Plugin]) -> Mapping[str, str]:
    """What the class attributes of a plugin say about it, for people."""
    from .base import Attack, Benchmark, Method

    facts = {"paper": cls.paper}
    if issubclass(cls, Attack):
        facts["reads"] = ", ".join(sorted(cls.reads)) or "no data"
        facts["variants"] = ", ".join(label for label in cls.variants if label)
    elif issubclass(cls, Benchmark):
        for attribute in ("forget_metric", "curve_metrics", "retain_metric"):
            value = getattr(cls, attribute, ())
            facts[attribute.replace("_", " ")] = value if isinstance(value, str) else ", ".join(value)
        facts["threshold"] = _docstring(cls.threshold)
        facts["chance"] = _docstring(cls.chance)
        facts["data"] = "from --data or a hub" if cls.needs_data else "from the package"
    elif issubclass(cls, Method) and cls.stop:
        facts["stops at"] = "{} <= {:g} on the forget split".format(*cls.stop)
    return {title: text for title, text in facts.items() if text}


def _docstring(function: object) -> str:
    # Not inspect.getdoc(): the docstring of the base class says nothing about this plugin.
    return " ".join((function.__doc__ or "").split())


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table | str:
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
