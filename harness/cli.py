"""The command line: a thin layer that parses, calls the engine, and prints.

Import what is heavy inside the command that needs it: ``harness --help`` and ``harness list`` load no torch.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .errors import HarnessError
from .plugins import DISTRIBUTION, Kind

if TYPE_CHECKING:
    from .base import Plugin
    from .registry import Entry
    from .types import Reported

app = typer.Typer(
    help="Tell erasing from hiding: run unlearning methods against attacks that bring the knowledge back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with plugins, repeatable.")
]


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
def list_plugins(plugins: PluginFiles = None) -> None:
    """List the methods, attacks and benchmarks that are installed."""
    from . import plugin_files

    registry = plugin_files.registry(plugin_files.read(plugins))
    for title, entries in [
        ("methods", registry.methods),
        ("attacks", registry.attacks),
        ("benchmarks", registry.benchmarks),
    ]:
        rows = [(entry.name, entry.summary(), entry.owner) for entry in entries.values()]
        say(table(title, ("name", "what it is", "from"), rows))
    if registry.broken:
        say(Text("Left out:", "bold yellow"), stderr=True)
    for broken in registry.broken:
        say(f"  {broken}", stderr=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A method, an attack or a benchmark.")],
    plugins: PluginFiles = None,
) -> None:
    """Show what a plugin does, the paper it comes from, and its settings."""
    from . import plugin_files

    for entry in plugin_files.registry(plugin_files.read(plugins)).named(name):
        _show(entry)


@app.command()
def run(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas, or 'all'.")] = "all",
    attacks: Annotated[str, typer.Option(help="Attacks, or 'all', or 'none'; NAME:VARIANT for one.")] = "all",
    benchmarks: Annotated[str, typer.Option(help="Benchmarks, or 'all'.")] = "faithun-mini,tofu-mini",
    model: Annotated[str, typer.Option(help="'tiny' (embedded), a model directory, or a hub id.")] = "tiny",
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME.setting=value, repeatable; see harness show.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Directory of a benchmark's files; NAME=DIR if there are several."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the cells are kept.")] = Path("results"),
    cache: Annotated[
        Path | None, typer.Option(help="Where targets are kept. [default: $HARNESS_CACHE]")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes. [default: cores; 1 on a GPU]")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker, on a CPU.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model.")] = None,
    trust_remote_code: Annotated[bool, typer.Option(help="Run code that comes with a model.")] = False,
    micro_batch: Annotated[int | None, typer.Option(min=1, help="Split steps to save memory.")] = None,
    lora: Annotated[
        str | None, typer.Option(help="Train LoRA adapters: r=16 or r=16,alpha=32. Needs peft.")
    ] = None,
    controls: Annotated[bool, typer.Option(help="Add none, retrain and refusal to every table.")] = True,
    utility: Annotated[
        str | None,
        typer.Option(
            help="lm-eval tasks, separated by commas, or 'none'. "
            "[default: all of --utility-tasks, or those of the embedded worlds]"
        ),
    ] = None,
    utility_limit: Annotated[
        int | None, typer.Option(min=1, help="Items of each lm-eval task, the first ones. [default: all]")
    ] = None,
    utility_tasks: Annotated[
        Path | None, typer.Option(help="Directory of your own lm-eval tasks (YAML).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    plugins: PluginFiles = None,
) -> None:
    """Run methods against attacks; what is there already is not run again."""
    from . import command, plugin_files

    command.run(
        command.Wanted(
            methods=methods,
            attacks=attacks,
            benchmarks=benchmarks,
            model=model,
            seeds=seeds,
            settings=settings or [],
            data=data or [],
            results=results,
            cache=cache,
            jobs=jobs,
            threads=threads,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
            micro_batch=micro_batch,
            lora=lora,
            controls=controls,
            utility=utility,
            utility_limit=utility_limit,
            utility_tasks=utility_tasks,
            dry_run=dry_run,
            plugins=plugin_files.read(plugins),
        )
    )


@app.command()
def prepare(
    benchmarks: Annotated[str, typer.Option(help="Benchmarks, or 'all'.")] = "faithun-mini,tofu-mini",
    model: Annotated[str, typer.Option(help="'tiny' (embedded), a model directory, or a hub id.")] = "tiny",
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME.setting=value, repeatable; see harness show.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Directory of a benchmark's files; NAME=DIR if there are several."),
    ] = None,
    utility: Annotated[str | None, typer.Option(help="lm-eval tasks, separated by commas.")] = None,
    utility_tasks: Annotated[
        Path | None, typer.Option(help="Directory of your own lm-eval tasks (YAML).")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where targets are kept. [default: $HARNESS_CACHE]")
    ] = None,
    plugins: PluginFiles = None,
) -> None:
    """Fetch models and data sets once; afterwards runs need no network and use these revisions."""
    from . import command, plugin_files

    command.fetch(
        command.Wanted(
            benchmarks=benchmarks,
            model=model,
            revision=revision,
            settings=settings or [],
            data=data or [],
            utility=utility,
            utility_tasks=utility_tasks,
            cache=cache,
            plugins=plugin_files.read(plugins),
        )
    )


@app.command("check-benchmark")
def check_benchmark(
    name: Annotated[str, typer.Argument(help="A benchmark.")],
    results: Annotated[Path, typer.Option(help="Where the cells are kept.")] = Path("results"),
    cache: Annotated[Path | None, typer.Option(help="Where targets are kept.")] = None,
    model: Annotated[str, typer.Option(help="'tiny' (embedded), a model directory, or a hub id.")] = "tiny",
    data: Annotated[list[str] | None, typer.Option(help="Directory of the benchmark's files.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes.")] = None,
    plugins: PluginFiles = None,
) -> None:
    """Check that a benchmark tells its controls apart; exits with 1 where it does not."""
    from . import command, plugin_files

    if not command.check(name, model, seeds, data or [], results, cache, jobs, plugin_files.read(plugins)):
        raise typer.Exit(1)


@app.command()
def new(
    kind: Annotated[Kind, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(help="Its name, and that of the directory.")],
    into: Annotated[Path, typer.Option(help="Where the directory goes.")] = Path("."),
) -> None:
    """Write a small installable package with a method, an attack or a benchmark of your own."""
    from .new import write

    written, commands = write(kind, name, into)
    say("Wrote\n" + "".join(f"  {path}\n" for path in written))
    say("Next\n" + "".join(f"  {command}\n" for command in commands).rstrip())


@app.command()
def check(
    what: Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A plugin, or a file with some.")],
    data: Annotated[Path | None, typer.Option(help="Directory of a benchmark's files.")] = None,
    plugins: PluginFiles = None,
) -> None:
    """Check that a plugin keeps the rules, on two-layer models; exits with 1 where it does not."""
    from . import plugin_files
    from .testing import shown

    if not shown.check(what, plugin_files.read(plugins), data):
        raise typer.Exit(1)


leaderboard = typer.Typer(help="Build the leaderboard from results.", no_args_is_help=True)
app.add_typer(leaderboard, name="leaderboard")


@leaderboard.command("build")
def leaderboard_build(
    results: Annotated[list[Path] | None, typer.Option(help="Results directory, repeatable.")] = None,
    out: Annotated[Path, typer.Option(help="Where the leaderboard goes.")] = Path("leaderboard"),
) -> None:
    """Write leaderboard.parquet and README.md from result files alone."""
    from . import command

    command.build(results or [Path("results")], out)


def _show(entry: Entry) -> None:
    from .base import Benchmark
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
    say(table("settings", ("--set", "allowed", "default", "what it is"), rows))
    if issubclass(cls, Benchmark):
        metrics = [(reported.metric, _what(reported)) for reported in cls.reports]
        say(table("metrics", ("metric", "what it is"), metrics))


def _what(reported: Reported) -> str:
    """Definition of a metric, and then where it is measured, its range, direction and ideal value."""
    from .formulas import described

    formula = described(reported.formula)
    better, ideal = reported.better or formula.better, reported.ideal or formula.ideal
    where = "aggregate" if reported.splits == ("all",) else f"on {', '.join(reported.splits)}"
    return f"{formula.definition}\n{where}; in {formula.range}; better: {better}; ideal: {ideal}"


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
