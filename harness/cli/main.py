"""The command line: a thin layer that parses, calls the engine, and prints.

Import what is heavy inside the command that needs it: ``harness --help`` and ``harness list`` load no torch.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ..errors import HarnessError
from ..plugins.discovery import DISTRIBUTION, Kind
from ..report.console import Level, note, say, table, telling
from . import leaderboard
from .completion import among, listed, named

EXIT_CODES = (
    "Exit codes: 0 all is done; 1 done, but a cell failed or a check does not hold; "
    "2 stopped, and the sentence says what you can mend; 130 interrupted."
)

app = typer.Typer(
    help="Tell erasing from hiding: run unlearning methods against attacks that bring the knowledge back.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

# Options that several commands have.
Benchmarks = Annotated[str, typer.Option(help="Benchmarks, or 'all'.", autocompletion=listed("benchmark"))]
Model = Annotated[str, typer.Option(help="'tiny' (embedded), a model directory, or a hub id.")]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub model.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="NAME.setting=value, repeatable; see harness show.")
]
Data = Annotated[
    list[str] | None, typer.Option(help="Directory of a benchmark's files; NAME=DIR if there are several.")
]
Cache = Annotated[Path | None, typer.Option(help="Where targets are kept. [default: $HARNESS_CACHE]")]
UtilityTasks = Annotated[Path | None, typer.Option(help="Directory of your own lm-eval tasks (YAML).")]
ResultsPlace = Annotated[Path, typer.Option(help="Where the cells are kept.")]
Seeds = Annotated[int, typer.Option(min=1, help="Number of seeds.")]
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with plugins, repeatable.")
]


def main() -> None:
    """The console script. What the user can mend is printed as ``Error: ...`` and exits with 2."""
    try:
        app(prog_name="harness")
    except HarnessError as error:
        say(Text.assemble(("Error: ", "bold red"), str(error)), stderr=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"harness {metadata.version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say only what was asked for, and what went wrong.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say which cells run, how long, and how they fail.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""
    if quiet and verbose:
        raise typer.BadParameter("choose one of --quiet and --verbose.")
    level = Level.QUIET if quiet else Level.VERBOSE if verbose else Level.NORMAL
    context.with_resource(telling(level))


AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON; its keys are in docs/cli.md.")]


@app.command("list")
def list_plugins(as_json: AsJSON = False, plugins: PluginFiles = None) -> None:
    """List the methods, attacks and benchmarks that are installed."""
    from ..plugins import describe, files

    registry = files.registry(files.read(plugins))
    if as_json:
        say(json.dumps(describe.listing(registry), indent=2))
        return
    for kind, entries in registry.kinds.items():
        rows = [(entry.name, entry.summary(), entry.owner) for entry in entries.values()]
        say(table(f"{kind}s", ("name", "what it is", "from"), rows))
    if registry.broken:
        say(Text("Left out:", "bold yellow"), stderr=True)
    for broken in registry.broken:
        say(f"  {broken}", stderr=True)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A method, an attack or a benchmark.", autocompletion=named("method", "attack", "benchmark")
        ),
    ],
    as_json: AsJSON = False,
    plugins: PluginFiles = None,
) -> None:
    """Show what a plugin does, the paper it comes from, and its settings."""
    from ..plugins import describe, files

    registry = files.registry(files.read(plugins))
    found = [describe.manual(entry) for entry in registry.named(name)]
    if as_json:
        say(json.dumps({"schema": describe.SCHEMA, "plugins": found}, indent=2))
        return
    for known in found:
        _show(known)


@app.command()
def run(
    methods: Annotated[
        str, typer.Option(help="Methods, separated by commas, or 'all'.", autocompletion=listed("method"))
    ] = "all",
    attacks: Annotated[
        str,
        typer.Option(
            help="Attacks, or 'all', or 'none'; NAME:VARIANT for one.", autocompletion=listed("attack")
        ),
    ] = "all",
    benchmarks: Benchmarks = "faithun-mini,tofu-mini",
    model: Model = "tiny",
    seeds: Seeds = 3,
    settings: Settings = None,
    data: Data = None,
    results: ResultsPlace = Path("results"),
    cache: Cache = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes. [default: cores; 1 on a GPU]")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker, on a CPU.")] = 1,
    dtype: Annotated[
        str,
        typer.Option(
            help="float32, bfloat16 or float16.", autocompletion=among("float32", "bfloat16", "float16")
        ),
    ] = "float32",
    revision: Revision = None,
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
    utility_tasks: UtilityTasks = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    plugins: PluginFiles = None,
) -> None:
    """Run methods against attacks; what is there already is not run again. Exits with 1 if a cell failed."""
    from ..plugins import files
    from ..report import terminal
    from ..runner import command

    found = command.run(
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
            plugins=files.read(plugins),
        )
    )
    if dry_run:
        return
    terminal.show(found.leaderboard.to_pylist())
    note(f"The cells are in {results}: cells/, metrics/ and samples/ hold a Parquet file for each.")
    if found.failed.num_rows:
        raise typer.Exit(1)


@app.command()
def prepare(
    benchmarks: Benchmarks = "faithun-mini,tofu-mini",
    model: Model = "tiny",
    revision: Revision = None,
    settings: Settings = None,
    data: Data = None,
    utility: Annotated[str | None, typer.Option(help="lm-eval tasks, separated by commas.")] = None,
    utility_tasks: UtilityTasks = None,
    cache: Cache = None,
    plugins: PluginFiles = None,
) -> None:
    """Fetch models and data sets once; afterwards runs need no network and use these revisions."""
    from ..plugins import files
    from ..runner import command

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
            plugins=files.read(plugins),
        )
    )


@app.command("check-benchmark")
def check_benchmark(
    name: Annotated[str, typer.Argument(help="A benchmark.", autocompletion=named("benchmark"))],
    results: ResultsPlace = Path("results"),
    cache: Annotated[Path | None, typer.Option(help="Where targets are kept.")] = None,
    model: Model = "tiny",
    data: Annotated[list[str] | None, typer.Option(help="Directory of the benchmark's files.")] = None,
    seeds: Seeds = 3,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes.")] = None,
    plugins: PluginFiles = None,
) -> None:
    """Check that a benchmark tells its controls apart; exits with 1 where it does not."""
    from ..plugins import files
    from ..runner import command

    if not command.check(name, model, seeds, data or [], results, cache, jobs, files.read(plugins)):
        raise typer.Exit(1)


@app.command()
def new(
    kind: Annotated[Kind, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(help="Its name, and that of the directory.")],
    into: Annotated[Path, typer.Option(help="Where the directory goes.")] = Path("."),
) -> None:
    """Write a small installable package with a method, an attack or a benchmark of your own."""
    from .scaffold import write

    written, commands = write(kind, name, into)
    say("Wrote\n" + "".join(f"  {path}\n" for path in written))
    say("Next\n" + "".join(f"  {command}\n" for command in commands).rstrip())


@app.command()
def check(
    what: Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A plugin, or a file with some.")],
    data: Annotated[Path | None, typer.Option(help="Directory of a benchmark's files.")] = None,
    settings: Settings = None,
    plugins: PluginFiles = None,
) -> None:
    """Check that a plugin keeps the rules, on two-layer models; exits with 1 where it does not."""
    from ..plugins import files
    from . import check

    if not check.check(what, files.read(plugins), data, settings or []):
        raise typer.Exit(1)


app.add_typer(leaderboard.app, name="leaderboard")


def _show(known: dict[str, Any]) -> None:
    owner = f"{known['owner']} {known['version']}"
    say(Text.assemble((f"{known['kind']} {known['name']}", "bold"), f"  {known['path']}, {owner}"))
    say(f"\n{known['manual']}\n")
    for title, text in known["facts"].items():
        line = text if isinstance(text, str) else ", ".join(text) or "none"
        say(Text.assemble((f"{title.replace('_', ' ')}: ", "bold"), line))
    say()
    rows = [
        (f"{known['name']}.{s['name']}", s["allowed"], s["default"], s["description"])
        for s in known["settings"]
    ]
    say(table("settings", ("--set", "allowed", "default", "what it is"), rows))
    if known["kind"] == "benchmark":
        metrics = [(metric["name"], _what(metric)) for metric in known["metrics"]]
        say(table("metrics", ("metric", "what it is"), metrics))


def _what(metric: dict[str, Any]) -> str:
    """Definition of a metric, and then where it is measured, its range, direction and ideal value."""
    where = "aggregate" if metric["splits"] == ["all"] else f"on {', '.join(metric['splits'])}"
    told = f"{where}; in {metric['range']}; better: {metric['better']}; ideal: {metric['ideal']}"
    return f"{metric['definition']}\n{told}"
