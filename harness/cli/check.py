"""`harness check`: the rules as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.base import Plugin
from ..errors import HarnessError
from ..plugins import files as plugin_files
from ..plugins.files import PluginFile
from ..plugins.registry import Entry
from ..plugins.settings import Overrides, assign, resolve
from ..report.console import say, table
from ..testing import Result, examine

SIGNS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}


def check(
    what: str, files: Sequence[PluginFile] = (), data: Path | None = None, assignments: Sequence[str] = ()
) -> bool:
    """Try every plugin of that name, or in that file, and show what was seen. False where a rule is broken.

    Raises HarnessError for a name that does not exist, and ConfigError for a setting; a plugin that was left
    out is named with the reason.
    """
    entries = entries_of(what, files)
    overrides: Overrides = {}
    for text in assignments:
        assign(overrides, text, entries, plugin_files.registry(files))
    for entry, given in overrides.items():
        resolve(load(entry), given)
    tables = [show(entry, examine(load(entry), overrides.get(entry), data)) for entry in entries]
    return all(tables)


def entries_of(what: str, files: Sequence[PluginFile]) -> list[Entry]:
    """The plugins of a file, whoever else has their names, or all of a name."""
    if what.endswith(".py"):
        [file] = plugin_files.read([Path(what)])
        found = plugin_files.registrations(file)
        return [Entry(r.kind, str(r.name), r.target, r.distribution, r.version) for r in found]
    registry = plugin_files.registry(files)
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


def show(entry: Entry, results: Sequence[Result]) -> bool:
    """One plugin's table. True where no rule is broken."""
    # What follows from another row says nothing of its own.
    rows = [
        (SIGNS[r.status], r.rule, f"{r.seen}\n→ {r.mend}" if r.status == "failed" else r.seen)
        for r in results
        if r.status != "skipped" or not r.seen.startswith("it does not")
    ]
    say(table(f"{entry.kind} {entry.name}  {entry.path}, {entry.owner}", ("", "rule", "what was seen"), rows))
    failed = sum(result.status == "failed" for result in results)
    skipped = sum(result.status == "skipped" for result in results)
    looked = len(results) - skipped
    say(
        f"{looked - failed} of {looked} rules hold." + (f" {skipped} were skipped." if skipped else "") + "\n"
    )
    return not failed
