"""`harness check`: print the result of each rule of the conformance suite as it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ..core.benchmark import Plugin
from ..errors import ConfigError, HarnessError, gather
from ..plugins import files as plugin_files
from ..plugins.assignments import assignments
from ..plugins.entry import Entry
from ..plugins.files import PluginFile
from ..plugins.settings import Overrides, assign, overrides_of, resolve
from ..plugins.uninstalled import registry as registry_with
from ..report.console import say
from ..testing import Result, examine

SIGNS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}


def check(
    what: str, files: Sequence[PluginFile] = (), data: Path | None = None, settings: Sequence[str] = ()
) -> bool:
    """Try every plugin of that name, or in that file, and print each result. False where a rule is broken.

    Raises HarnessError for a name that does not exist, and ConfigError for a setting; a plugin that was left
    out is named with the reason.
    """
    entries = entries_of(what, files)
    registry = registry_with(files)
    overrides: Overrides = {}
    given = assignments(settings).items()
    parts = [part for entry in entries for part in entry.parts]
    gather(lambda item: assign(overrides, *item, parts, registry), given, ConfigError)
    own = {entry: overrides_of(entry, overrides) for entry in entries}
    set_here = [(entry, values) for entry, values in own.items() if values]
    gather(lambda item: resolve(load(item[0]), item[1]), set_here, ConfigError)
    held = [show(entry, examine(load(entry), own[entry], data)) for entry in entries]
    return all(held)


def entries_of(what: str, files: Sequence[PluginFile]) -> list[Entry]:
    """The plugins of a file, whoever else has their names, or all of a name."""
    if what.endswith(".py"):
        [file] = plugin_files.read([Path(what)])
        return file.entries()
    registry = registry_with(files)
    try:
        return registry.named(what)
    except HarnessError as error:
        more = "".join(f" Left out: {broken}." for broken in registry.broken)
        if Path(what).is_dir():
            more += f" {what} is a directory: install it with `pip install -e {what}`."
        raise HarnessError(f"{error}{more}") from None


def load(entry: Entry) -> type[Plugin]:
    """The class, although it may break the contract: the table says how."""
    cls = entry.load_unchecked()
    return cls if isinstance(cls, type) and issubclass(cls, Plugin) else entry.load()


def show(entry: Entry, results: Iterable[Result]) -> bool:
    """Print the result of each rule as it comes. True where no rule is broken."""
    say(Text(f"{entry.kind} {entry.name}  {entry.path}, {entry.owner}", style="bold"))
    counts = Counter[str]()
    for result in results:
        counts[result.status] += 1
        # What follows from another row says nothing of its own.
        if result.status != "skipped" or not result.detail.startswith("it does not"):
            fix = f"\n→ {result.fix}" if result.status == "failed" else ""
            say(row(SIGNS[result.status], result.rule, f"{result.detail}{fix}"))
    skipped = f" {counts['skipped']} were skipped." if counts["skipped"] else ""
    say(f"{counts['ok']} of {counts['ok'] + counts['failed']} rules hold.{skipped}\n")
    return not counts["failed"]


def row(*cells: str) -> Table:
    """Cells in columns of the same width in every row, as no row knows the next one."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for width in (7, 30, None):
        grid.add_column(width=width, overflow="fold")
    grid.add_row(*map(Text, cells))
    return grid
