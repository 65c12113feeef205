"""`harness list`, `show`, `new` and `check`: what plugins there are, and one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ..plugins.kinds import Kind
from ..plugins.settings import set_name
from ..report.console import say, table
from .completion import named
from .options import AsJSON, PluginFiles, Settings


def list_plugins(as_json: AsJSON = False, plugins: PluginFiles = None) -> None:
    """List the methods, modifiers, attacks, benchmarks and analyses that are installed."""
    from ..plugins import describe, files, uninstalled

    registry = uninstalled.registry(files.read(plugins))
    if as_json:
        say(json.dumps(describe.listing(registry), indent=2))
        return
    for kind, entries in registry.kinds.items():
        rows = [(entry.name, entry.summary(), entry.owner) for entry in entries.values()]
        say(table(Kind(kind).plural, ("name", "what it is", "from"), rows))
    if registry.broken:
        say(Text("Left out:", "bold yellow"), stderr=True)
    for broken in registry.broken:
        say(f"  {broken}", stderr=True)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A method, modifier, attack, benchmark or analysis, or method+modifier.",
            autocompletion=named(*Kind),
        ),
    ],
    as_json: AsJSON = False,
    plugins: PluginFiles = None,
) -> None:
    """Show what a plugin does, the paper it comes from, and its settings."""
    from ..plugins import describe, files, uninstalled

    registry = uninstalled.registry(files.read(plugins))
    manuals = [describe.manual(entry) for entry in registry.named(name)]
    if as_json:
        say(json.dumps({"schema": describe.SCHEMA, "plugins": manuals}, indent=2))
        return
    for manual in manuals:
        _show(manual)


def new(
    kind: Annotated[Kind, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(help="Its name, and that of the directory.")],
    into: Annotated[Path, typer.Option(help="Where the directory goes.")] = Path("."),
) -> None:
    """Write a small installable package with a plugin of your own, such as a method or a modifier."""
    from .scaffold import write

    written, commands = write(kind, name, into)
    say("Wrote\n" + "".join(f"  {path}\n" for path in written))
    say("Next\n" + "".join(f"  {command}\n" for command in commands).rstrip())


def check(
    what: Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A plugin, or a file with some.")],
    data: Annotated[Path | None, typer.Option(help="Directory of a benchmark's files.")] = None,
    settings: Settings = None,
    plugins: PluginFiles = None,
) -> None:
    """Check that a plugin keeps the rules, on two-layer models; exits with 1 where it does not."""
    from ..plugins import files
    from .check import check

    if not check(what, files.read(plugins), data, settings or []):
        raise typer.Exit(1)


def _show(manual: dict[str, Any]) -> None:
    owner = f"{manual['owner']} {manual['version']}"
    say(Text.assemble((f"{manual['kind']} {manual['name']}", "bold"), f"  {manual['path']}, {owner}"))
    say(f"\n{manual['manual']}\n")
    for title, value in manual["facts"].items():
        text = value if isinstance(value, str) else ", ".join(value) or "none"
        say(Text.assemble((f"{title.replace('_', ' ')}: ", "bold"), text))
    say()
    rows = [
        (set_name(manual["name"], s["name"]), s["allowed"], s["default"], s["description"])
        for s in manual["settings"]
    ]
    say(table("settings", ("--set", "allowed", "default", "what it is"), rows))
    if manual["kind"] == Kind.BENCHMARK:
        metrics = [(metric["name"], _metric(metric)) for metric in manual["metrics"]]
        say(table("metrics", ("metric", "what it is"), metrics))


def _metric(metric: dict[str, Any]) -> str:
    """Definition of a metric, and then where it is measured, its range, direction and ideal value."""
    where = "aggregate" if metric["splits"] == ["all"] else f"on {', '.join(metric['splits'])}"
    values = f"in {metric['range']}; better: {metric['better']}; ideal: {metric['ideal']}"
    return f"{metric['definition']}\n{where}; {values}"
