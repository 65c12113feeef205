"""`harness publish`: bring a leaderboard, results and kept models to where people look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, StoreError
from ..plugins.selection import split
from ..report.console import note, say
from .leaderboard import RESULTS, Results, Sources
from .models import Cache, kept_models

if TYPE_CHECKING:
    import pyarrow as pa

    from ..leaderboard.groups import Groups
    from ..report.files import Published
    from ..report.hub import Repository

app = typer.Typer(help="Publish a leaderboard, results and kept models.", no_args_is_help=True)

MODELS = "models"
"""The directory of a data set in which a directory for each kept model says what is known of it."""


@app.command()
def hub(
    repo: Annotated[str, typer.Argument(help="OWNER/NAME of the data set; it is made if need be.")],
    results: Results = None,
    board: Annotated[
        Path | None, typer.Option(help="A leaderboard in place of --results, without their cells.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the folder here, and publish nothing.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be published, and write nothing.")
    ] = False,
    tables: Annotated[
        str, typer.Option(help="Only these tables and the leaderboard, separated by commas.")
    ] = "all",
    models: Annotated[
        bool, typer.Option("--models", help="Publish the kept models of these results, too.")
    ] = False,
    cache: Cache = None,
    licence: Annotated[
        str, typer.Option("--license", help="Licence of the data set, as the hub names it.")
    ] = "mit",
    private: Annotated[bool, typer.Option("--private", help="Show new repositories to nobody else.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is there although rows of it would be lost.")
    ] = False,
    source: Sources = None,
) -> None:
    """Publish results, or a leaderboard, as a data set of the Hugging Face hub.

    Models that --keep kept come with their scores in `.eval_results`, where their recovery is known.
    """
    from ..report import dataset, files, overwriting
    from ..report.hub import Repository

    if board is not None and results:
        raise ConfigError("Give --results or --board, and not both.")
    if board is not None and models:
        raise ConfigError("--models needs --results: a leaderboard does not say which model is which.")
    repository = Repository(repo)
    published, groups, there = _read(board, results or RESULTS, source or ())
    names = dataset.chosen(split(tables), (*dataset.OF_BOARD, *there))
    made = dataset.folder(published, there, names, repo, licence)
    kept = [] if groups is None else _kept(groups, cache, repository)
    if models and not kept:
        raise ConfigError(
            "No model of these results is kept in the cache: see harness models list, and --cache."
        )
    made |= {f"{MODELS}/{each.name}/{path}": text for each in kept for path, text in each.beside.items()}
    if dry_run:
        say(f"Nothing is published. {repository.url} would hold:")
        for path, content in made.items():
            say(f"  {path}  {len(content) / 2**10:.1f} KiB")
        for each in kept if models else ():
            say(f"{each.repository.url} would hold the model in {each.path}.")
    elif out is not None:
        if not force:
            overwriting.refuse_loss(published, out, out)
        files.write(made, out)
        note(f"{len(made)} files in {out}: {', '.join(names)}. Nothing is published.")
    else:
        _publish(repository, made, published, private, force, kept if models else [])


@dataclass(frozen=True, slots=True)
class _Kept:
    """A kept model of the results."""

    path: Path
    repository: Repository
    beside: Mapping[str, bytes] = field(repr=False)
    """What is said of it: its card and its score."""

    @property
    def name(self) -> str:
        """Of its repository, without the owner."""
        return self.repository.name.partition("/")[2]


def _read(
    board: Path | None, results: list[Path], sources: list[str] | tuple[str, ...]
) -> tuple[Published, Groups | None, dict[str, pa.Table]]:
    """The leaderboard, the cells it is made of, and their tables; of a board alone there are none."""
    from ..leaderboard.groups import grouped
    from ..report import files
    from ..store import packed, store

    if board is not None:
        return files.read(board), None, {}
    stores = packed.stores(results)
    cells, metrics, samples = store.tables(stores)
    for cell, sentence in store.unsound(cells):
        say(f"Counted as failed: {cell}: {sentence}", stderr=True)
    groups = grouped(cells, metrics, samples, sources)
    found = store.analyses(stores)
    tables = {"cells": cells, "metrics": metrics, "samples": samples, "findings": found}
    return files.build(groups, found), groups, tables


def _kept(groups: Groups, cache: Path | None, repository: Repository) -> list[_Kept]:
    """The kept models that these results are of."""
    from ..leaderboard.robust import robust
    from ..report import eval_results
    from ..report.hub import Repository

    there = {path.name: path for path, account in kept_models(cache).items() if account}
    owner = repository.name.partition("/")[0]
    return [
        _Kept(
            there[key],
            Repository(f"{owner}/{eval_results.name(found, key)}", "model"),
            eval_results.files(found, repository.name, repository.url),
        )
        for key, found in (robust(groups, there) if there else {}).items()
    ]


def _publish(
    repository: Repository,
    made: Mapping[str, bytes],
    published: Published,
    private: bool,
    force: bool,
    kept: list[_Kept],
) -> None:
    """Put the data set, and then each model, on the hub. What can be refused is refused before."""
    from ..engine import note as notes
    from ..model.files import files_of
    from ..report import dataset
    from ..report.files import README, TABLE

    for each in kept:
        notes.check(each.path)
    there = repository.make(private)
    if not force:
        _refuse_loss(repository, there, published)
    ours = {part.path for part in dataset.CONTENTS.values()}
    old = {name for name in there if name in ours or name.startswith(("heatmap-", f"{MODELS}/"))}
    url = repository.commit(made, "Publish results", old - made.keys())
    say(f"{repository.url}: {len(made)} files, {TABLE} and {README} among them ({url}).")
    for each in kept:
        weights = {name: path for name, path in files_of(each.path).items() if name != notes.DONE}
        each.repository.make(private)
        each.repository.commit({**weights, **each.beside}, "Publish an unlearned model")
        say(f"{each.repository.url}: the model of {each.name}.")


def _refuse_loss(repository: Repository, there: frozenset[str], published: Published) -> None:
    """Raise StoreError where the repository holds rows that would be lost, or something else."""
    from ..report import overwriting
    from ..report.files import README, TABLE

    elsewhere = "name another repository, or replace it with --force."
    if TABLE in there:
        losses: list[str] = []
        repository.read(TABLE, lambda path: losses.append(overwriting.lost(published, path, repository.name)))
        if any(losses):
            raise StoreError(f"Not published: {losses[0]}; {elsewhere}")
    elif README in there:
        raise StoreError(
            f"Not published: {repository.name} holds a {README} and no leaderboard, and it would be lost; "
            f"{elsewhere}"
        )
