"""What a run cannot do with one model over several processes: it is said before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.base import shards
from ..errors import ConfigError
from ..plugins.entry import Entry
from ..plugins.kinds import Kind
from ..plugins.registry import Registry
from ..plugins.selection import Selection
from ..plugins.settings import Overrides, overrides_of, resolve
from .options import RunOptions


def check(
    options: RunOptions, selection: Selection, overrides: Overrides, registry: Registry, processes: int
) -> None:
    """Raise ConfigError with everything that several processes cannot do with one model, a line for each."""
    begun = f"{processes} processes were started for one model (torchrun, accelerate launch)"
    lines = []
    if options.executor != "local":
        lines.append(f"{begun}: leave out --executor {options.executor}.")
    if (options.jobs or 1) > 1:
        lines.append(f"{begun}, which do one task at a time: leave out --jobs {options.jobs}.")
    if options.utility or options.utility_tasks:
        lines.append(f"{begun}, which do not measure lm-eval: leave out --utility and --utility-tasks.")
    attacks = ((choice.entry, overrides.get(choice.entry, {})) for choice in selection.attacks)
    chosen: dict[Kind, Iterable[tuple[Entry, Mapping[str, Any]]]] = {
        Kind.METHOD: ((entry, overrides_of(entry, overrides)) for entry in selection.methods),
        Kind.ATTACK: attacks,
        Kind.ANALYSIS: ((entry, {}) for entry in selection.analyses),
    }
    for kind, entries in chosen.items():
        if unfit := list(dict.fromkeys(_unfit(entries))):
            able = ", ".join(_able(registry.kinds[kind].values())) or "none"
            lines.append(
                f"{begun}, and these {kind.plural} need it whole: {', '.join(unfit)}. "
                f"Leave them out; {kind.plural} that do not: {able}."
            )
    if lines:
        raise ConfigError("\n".join(lines))


def _unfit(entries: Iterable[tuple[Entry, Mapping[str, Any]]]) -> Iterator[str]:
    for entry, given in entries:
        cls = entry.load()
        if not shards(cls):
            yield entry.name
        elif getattr(resolve(cls, given), "lora_r", None) is not None:
            yield f"{entry.name} with LoRA ({entry.name}.lora_r=none trains all weights)"


def _able(entries: Iterable[Entry]) -> Iterator[str]:
    return (entry.name for entry in entries if shards(entry.load_unchecked()))
