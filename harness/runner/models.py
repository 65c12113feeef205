"""The models that the options of a run name: one to begin with, or a ready pair."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from ..core import hub
from ..core.frame import Frame
from ..core.names import TINY
from ..engine.cache import cache_directory
from ..engine.pair import Pair
from ..engine.source import Source
from ..errors import ConfigError
from .options import RunOptions


def cache_of(options: RunOptions) -> Path:
    """Where targets are kept."""
    return options.cache or cache_directory()


def source_of(options: RunOptions, spec: str, revision: str | None) -> Source:
    """Where a model comes from and how it is asked, with what is there of the hub. Raises ConfigError."""
    cache = cache_of(options)
    frame = Frame(options.frame, date.fromisoformat(options.date))
    if spec == TINY and frame.name != "auto":
        raise ConfigError(
            f"--frame {frame.name}: the embedded model has a frame of its own; leave it out, or give another "
            "--model."
        )
    return Source(
        spec,
        options.dtype,
        revision,
        options.trust_remote_code,
        frame,
        hub.recorded(cache),
        cache=cache,
    )


def models_of(options: RunOptions) -> tuple[Source, Pair | None]:
    """The model of a run, and the ready pair that it is the original of, if there is one.

    Raises ConfigError for options that do not go together.
    """
    pair = pair_of(options)
    return (pair.original if pair else source_of(options, options.model, options.revision)), pair


def pair_of(options: RunOptions) -> Pair | None:
    """``--original`` and ``--retrain``, where they are given. Raises ConfigError as :func:`models_of`."""
    if options.original is None:
        if options.retrain is not None:
            raise ConfigError(
                f"--retrain {options.retrain}: it is the twin of --original, which is not given; a twin of "
                "--model is trained where the benchmark says how."
            )
        return None
    said = f"--original {options.original}:"
    if options.original == TINY:
        raise ConfigError(f"{said} the embedded model knows nothing until it is trained: use --model {TINY}.")
    if "model" in options.model_fields_set:
        raise ConfigError(f"{said} it takes the place of --model {options.model}; give one of them.")
    if options.revision is not None:
        raise ConfigError(
            f"{said} --revision {options.revision} is that of --model; write --original ID@REVISION, and "
            "--retrain alike."
        )
    if options.targets > 1:
        raise ConfigError(
            f"{said} it is taken as it is, and --targets {options.targets} trains so many: leave that out."
        )
    original = _named(options, options.original)
    return Pair(original, None if options.retrain is None else _named(options, options.retrain))


def _named(options: RunOptions, text: str) -> Source:
    """``DIR``, or ``ID@REVISION`` with the latter left out or not: no id of the hub has an @ in it."""
    spec, _, revision = text.partition("@")
    if not revision or Path(text).expanduser().exists():
        spec, revision = text, ""
    return source_of(options, spec, revision or None)
