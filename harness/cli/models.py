"""`harness models`: the unlearned models that runs with --keep have kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, HarnessError
from ..report.console import note, say, table
from ..runner.options import RunOptions
from .options import FIELDS, AsJSON

if TYPE_CHECKING:
    from ..engine.keeping import KeptModel

app = typer.Typer(help="List, export and remove the unlearned models that --keep kept.", no_args_is_help=True)

Cache = Annotated[Path | None, typer.Option(help=FIELDS["cache"].description)]
SCHEMA = 1
"""Of the JSON; raised when a key of it is renamed, removed or changes its meaning."""

SHORTEST = 12
"""Digits of a key in the table; an argument may be shorter, if it fits one alone."""


@app.command("list")
def list_models(cache: Cache = None, as_json: AsJSON = False) -> None:
    """List the models that are kept; one whose files cannot be read is damaged."""
    models = [_described(path, account) for path, account in kept_models(cache).items()]
    if as_json:
        say(json.dumps({"schema": SCHEMA, "models": models}, indent=2))
        return
    columns = ("key", "benchmark", "method", "seed", "model", "kept as", "state", "MiB")
    lines = [
        (
            str(model["key"])[:SHORTEST],
            *(str(model[name]) for name in ("benchmark", "method", "seed", "model", "kept_as", "state")),
            f"{int(model['bytes'] or 0) / 2**20:.1f}",
        )
        for model in models
    ]
    say(table("kept models", columns, lines))
    if models:
        total = sum(int(model["bytes"] or 0) for model in models)
        note(f"They take {total / 2**30:.2f} GiB in {_place(cache)}.")


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Key of a kept model, or the beginning of it.")],
    out: Annotated[Path, typer.Argument(help="Directory to make: a model's, or an adapter's.")],
    cache: Cache = None,
) -> None:
    """Copy a kept model to a directory that transformers, or peft, loads; it is checked before."""
    from ..core.aside import aside
    from ..engine import note as notes

    [path] = _chosen(kept_models(cache), [model])
    if out.exists():
        raise ConfigError(f"{out} is there already: name a directory that is not.")
    notes.check(path)
    part = aside(out.absolute())
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, part, ignore=shutil.ignore_patterns(notes.DONE))
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    say(f"{path.name[:SHORTEST]} is in {out}.")


@app.command()
def prune(
    models: Annotated[list[str] | None, typer.Argument(help="Keys, or the beginnings of them.")] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Those that no run starts from: of other code, or damaged.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    cache: Cache = None,
) -> None:
    """Remove kept models; a run that needs one of them unlearns again."""
    from ..core.fingerprint import engine_fingerprint
    from ..engine import keeping

    if not (models or stale or everything):
        raise ConfigError("Say which models to remove: their keys, --stale or --all.")
    kept = kept_models(cache)
    unused = [path for path, of in kept.items() if of is None or of.engine != engine_fingerprint()]
    chosen = [*_chosen(kept, models or []), *(unused if stale else []), *(kept if everything else [])]
    freed = 0
    for path in dict.fromkeys(chosen):
        freed += keeping.bytes_of(path)
        keeping.discard(path)
    count = len(dict.fromkeys(chosen))
    say(f"Removed {count} kept model{'s' * (count != 1)}, {freed / 2**20:.1f} MiB.")


def _place(cache: Path | None) -> Path:
    from ..runner.models import cache_of

    return cache_of(RunOptions.of({} if cache is None else {"cache": cache}))


def kept_models(cache: Path | None) -> dict[Path, KeptModel | None]:
    """By directory, the models that are kept in a cache; None for what cannot be read."""
    from ..engine import keeping

    return dict(keeping.kept(_place(cache)))


def _chosen(kept: dict[Path, KeptModel | None], keys: Sequence[str]) -> list[Path]:
    """The models with these keys. Raises HarnessError for one that is not there, or that fits several."""
    chosen = []
    for key in keys:
        fitting = [path for path in kept if key and path.name.startswith(key)]
        if len(fitting) != 1:
            many = f"{len(fitting)} keys begin with it" if fitting else "there is none"
            raise HarnessError(f"No kept model '{key}' can be chosen: {many}. See harness models list.")
        chosen += fitting
    return chosen


def _described(path: Path, account: KeptModel | None) -> dict[str, Any]:
    from ..core.fingerprint import engine_fingerprint
    from ..engine.keeping import ADAPTER, bytes_of

    of = account
    state = "damaged" if of is None else "ready" if of.engine == engine_fingerprint() else "of other code"
    return {
        "key": path.name,
        "benchmark": of.benchmark if of else "",
        "method": of.method if of else "",
        "settings": json.dumps(dict(of.settings)) if of else "{}",
        "seed": of.seed if of else None,
        "model": of.model if of else "",
        "dtype": of.dtype if of else "",
        "kept_as": "adapter" if (path / ADAPTER).is_file() else "weights",
        "forgotten": of.notes.get("forgotten") if of else None,
        "state": state,
        "seconds": of.seconds if of else None,
        "bytes": bytes_of(path),
    }
