"""The options that commands share; those of a run are made from RunOptions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from annotated_types import Ge, Le

from ..core.frame import FRAMES
from ..runner.options import DTYPES, KEEP, OPTIMIZERS, SHELL, TRACKERS, RunOptions
from .completion import among, listed

FIELDS = RunOptions.model_fields
Settings = Annotated[list[str] | None, typer.Option("--set", help=FIELDS["settings"].description)]
PluginFiles = Annotated[list[Path] | None, typer.Option("--plugin", help=FIELDS["plugins"].description)]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON; its keys are in docs/cli.md.")]
Details = Annotated[
    bool, typer.Option("--details", help="Show every attack, the ranks, and the reasons of verdicts as well.")
]

REPEATED = {"settings": list[str] | None, "data": list[str] | None, "plugins": list[Path] | None}
FLAGS = {"dry_run": "--dry-run"}  # without a --no-dry-run
COMPLETION: dict[str, Callable[[str], Any]] = {
    "methods": listed("method"),
    "attacks": listed("attack"),
    "benchmarks": listed("benchmark"),
    "analyses": listed("analysis"),
    "dtype": among(*DTYPES),
    "frame": among(*FRAMES),
    "keep": among(*KEEP),
    "track": among(*TRACKERS),
    "optimizer": among(*OPTIMIZERS),
}
PLAIN = (int, bool, str, Path, int | None, str | None, Path | None)
"""Types that a shell has as well; everything else is text there."""


def run_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these names; it is called with those that were typed, as RunOptions."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @wraps(command)
        def call(context: typer.Context, **values: Any) -> None:
            typed = {name: values[name] for name in names if _is_typed(context, name)}
            command(RunOptions.of(typed), **{part.name: values[part.name] for part in own})

        shared = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        shared += [_parameter(name) for name in names]
        own = [part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in own]
        call.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
        call.__annotations__ = {}
        return call

    return decorate


def in_shell(default: Any) -> Any:
    """A default of RunOptions as it would be typed."""
    return ",".join(default) if isinstance(default, tuple) else default


def _parameter(name: str) -> inspect.Parameter:
    field = FIELDS[name]
    flag = SHELL.get(name) or FLAGS.get(name)
    least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    option = typer.Option(
        *([flag] if flag else []),
        help=field.description,
        min=least,  # type: ignore[arg-type]
        max=most,  # type: ignore[arg-type]
        autocompletion=COMPLETION.get(name),
    )
    default = None if name in REPEATED else in_shell(field.default)
    text = str if default is not None else str | None
    kind = REPEATED.get(name) or (field.annotation if field.annotation in PLAIN else text)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=Annotated[kind, option])


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
