"""The table of `harness check`: a plugin against the rules of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.base import Plugin
from ..errors import ConfigError, HarnessError, gather
from ..plugins import files as plugin_files
from ..plugins.entry import Entry
from ..plugins.files import PluginFile
from ..plugins.settings import Overrides, assign, assignments, resolve
from ..plugins.uninstalled import registry as registry_with
from ..report.console import say, table
from ..testing import Result, examine

SIGNS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}


def check(
    what: str, files: Sequence[PluginFile] = (), data: Path | None = None, settings: Sequence[str] = ()
) -> bool:
    """Try every plugin of that name, or in that file, and show what came of it. False where a rule is broken.

    Raises HarnessError for a name that does not exist, and ConfigError for a setting; a plugin that was left
    out is named with the reason.
    """
    entries = entries_of(what, files)
    registry = registry_with(files)
    overrides: Overrides = {}
    given = assignments(settings).items()
    gather(lambda item: assign(overrides, *item, entries, registry), given, ConfigError)
    gather(lambda item: resolve(load(item[0]), item[1]), overrides.items(), ConfigError)
    tables = [show(entry, examine(load(entry), overrides.get(entry), data)) for entry in entries]
    return all(tables)


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
    tried = len(results) - skipped
    more = f" {skipped} were skipped." if skipped else ""
    say(f"{tried - failed} of {tried} rules hold.{more}\n")
    return not failed
