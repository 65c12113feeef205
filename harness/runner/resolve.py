"""From the options of a run to its plan: plugins loaded, settings checked, places found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.config import MethodConfig
from ..core.memory import MemorySavings
from ..core.names import CONTROLS
from ..core.optimizers import ADAMW, check_installed
from ..engine.pair import Pair
from ..engine.source import Source
from ..errors import ConfigError
from ..plugins import files
from ..plugins.classes import PluginClass
from ..plugins.entry import Entry
from ..plugins.registry import Registry
from ..plugins.selection import Selection, select, select_benchmarks, select_methods
from ..plugins.settings import Overrides, check, resolve
from ..plugins.uninstalled import Uninstalled
from ..plugins.uninstalled import registry as registry_with
from ..store.provenance import cores
from . import spread
from .context import WorkerContext
from .executors.local import check_device, default_jobs
from .models import cache_of, models_of
from .options import RunOptions
from .plan import Plan, Spec, spec
from .planner import make
from .ranks import Rank
from .tasks import Utility

THREADED = 10_000_000
"""Parameters from which on a second thread pays: one of 135 million trains 1.8 times as fast with two."""

PLACES = {"results", "cache", "keep", "keep_budget", "jobs", "executor", "ray_address", "slurm", "dry_run"}
PLACES |= {"any_source", "device", "track"}
"""Options about where and how a run is done here: no part of its configuration."""


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """A run with nothing left open."""

    plan: Plan
    context: WorkerContext
    registry: Registry
    config: dict[str, Any]
    """Its options as plain data, every name and default written out."""


def resolved(
    options: RunOptions, classes: Sequence[PluginClass] = (), rank: Rank | None = None
) -> ResolvedRun:
    """Resolve the options of a run; ``classes`` are plugins that are in no file.

    With a ``rank`` one model is spread over several processes, of which this is the first.

    Raises HarnessError for everything that is wrong, before anything runs.
    """
    savings = savings_of(options)
    plugins: tuple[Uninstalled, ...] = (*files.read(options.plugins), *classes)
    registry = registry_with(plugins)
    methods = (*CONTROLS * options.controls, *options.methods)
    selection = select(
        registry, methods, options.attacks, options.benchmarks, options.analyses, options.settings
    )
    overrides = check([*options.settings.items(), *lora_settings(options, selection)], selection, registry)
    if rank:
        spread.check(options, selection, overrides, registry, rank.size)
    source, pair = planned(*models_of(options))
    data = data_directories(options.data, selection.benchmarks)
    seeds, utility = range(options.seeds), None if rank else utility_of(options)
    limit = ", ".join(
        label for label in (options.stop and options.stop.label, optimizer_of(options)) if label
    )
    plan = make(registry, selection, overrides, source, seeds, data, utility, options.targets, limit, pair)
    if rank:
        plan.left_out.append("lm-eval: it is not measured by several processes with one model.")
    context = WorkerContext(
        source,
        options.results,
        cache_of(options),
        options.threads or threads(plan, rank.size if rank else workers(options)),
        options.micro_batch,
        options.stop.kl if options.stop else None,
        plugins,
        options.keep,
        pair,
        savings,
        options.device or "",
        options.deterministic,
        rank=rank,
    )
    return ResolvedRun(plan, context, registry, configuration(options, registry, selection, overrides, data))


def benchmarks_of(options: RunOptions) -> tuple[list[Spec], Registry]:
    """The benchmarks of a run, with their settings and files. Raises HarnessError for what is wrong."""
    registry = registry_with(files.read(options.plugins))
    selection = Selection([], [], select_benchmarks(registry, options.benchmarks))
    overrides = check(options.settings.items(), selection, registry)
    data = data_directories(options.data, selection.benchmarks)
    specs = [
        spec(entry, resolve(entry.load(), overrides.get(entry, {})), data.get(entry.name))
        for entry in selection.benchmarks
    ]
    return specs, registry


def planned(source: Source, pair: Pair | None) -> tuple[Source, Pair | None]:
    """The models with their files as they are now. Raises ModelError for what is none, or one twice."""
    if pair:
        pair = Pair(*map(_planned, pair.sources))
        pair.check_files()
        return pair.original, pair
    return _planned(source), None


def _planned(source: Source) -> Source:
    source = source.planned()
    if source.frame.name != "auto" and (source.file is None or source.is_converted()):
        from ..model import loading
        from ..model.tokens import PromptTokenizer

        # What it cannot have is said now, and not in every cell.
        PromptTokenizer(loading.load_tokenizer(source.local(), source.trust_remote_code), source.frame)
    return source


def savings_of(options: RunOptions) -> MemorySavings:
    """How the run saves memory. Raises HarnessError for what this machine, or the rest of the run, lacks."""
    if options.executor == "local":
        check_device(options.device)
        check_installed(options.optimizer)
    elif ":" in (options.device or ""):
        raise ConfigError(
            f"--device {options.device}: --executor {options.executor} gives each task its GPU."
        )
    if options.offload and options.analyses not in ((), ("none",)):
        raise ConfigError(
            "--offload: analyses hold several models beside each other on the device; leave out --analyses, "
            "or run them afterwards without --offload (a model that --keep keeps is not unlearned again)."
        )
    return MemorySavings(options.optimizer, options.offload, options.checkpointing)


def optimizer_of(options: RunOptions) -> str:
    """The optimiser as part of the protocol: results of two never meet."""
    return "" if options.optimizer == ADAMW else options.optimizer


def utility_of(options: RunOptions) -> Utility:
    """What lm-eval is to measure."""
    return Utility(options.utility, options.utility_limit, options.utility_tasks, options.trust_code)


def workers(options: RunOptions) -> int:
    """How many tasks run side by side; a cluster counts as this machine, since nobody knows it beforehand."""
    return options.jobs or default_jobs(options.device)


def threads(plan: Plan, jobs: int) -> int:
    """As many for each worker as there are cores that no other uses; small models are no faster with two."""
    if (plan.source.parameters or 0) < THREADED:
        return 1
    return max(1, cores() // max(1, min(jobs, len(plan.groups))))


def lora_settings(options: RunOptions, selection: Selection) -> Iterator[tuple[str, int]]:
    """``lora`` as settings of every method that trains.

    Raises ConfigError for methods whose definition leaves no room for LoRA.
    """
    if options.lora is None:
        return
    size = options.lora.model_dump(exclude_none=True)
    training = [entry for entry in selection.methods if issubclass(entry.load().Config, MethodConfig)]
    unfit = [entry.name for entry in training if not entry.load().lora]  # type: ignore[attr-defined]
    if unfit:
        given = ",".join(f"{name}={value}" for name, value in size.items())
        raise ConfigError(f"--lora {given}: the definition of {', '.join(unfit)} says which weights train.")
    names = dict.fromkeys(entry.parts[0].name for entry in training)
    yield from ((f"{each}.lora_{name}", value) for each in names for name, value in size.items())


def data_directories(given: Mapping[str, Path], benchmarks: Sequence[Entry]) -> dict[str, Path]:
    """The directory of each benchmark that has one; what is given without a name goes to the only one."""
    names = [entry.name for entry in benchmarks if entry.load().needs_data]  # type: ignore[attr-defined]
    found: dict[str, Path] = {}
    for name, path in given.items():
        text = f"{name}={path}" if name else str(path)
        if not name:
            if len(names) != 1:
                those = (
                    f"several do ({', '.join(names)}): write NAME=DIR" if names else "none of this run does"
                )
                raise ConfigError(f"--data {text}: it goes to the benchmark that reads files, and {those}.")
            name = names[0]
        if name not in names:
            raise ConfigError(f"--data {text}: '{name}' is no benchmark of this run that reads files.")
        if not path.is_dir():
            raise ConfigError(f"--data {text}: there is no directory {path}.")
        found[name] = path
    return found


def configuration(
    options: RunOptions,
    registry: Registry,
    selection: Selection,
    overrides: Overrides,
    data: Mapping[str, Path],
) -> dict[str, Any]:
    """The options as plain data: names for 'all', and settings and data by the plugin they belong to."""
    instead = {"model"} if options.original else set()
    config = options.model_dump(mode="json", exclude=PLACES | {"settings"} | instead)
    methods = select_methods(registry, options.methods or CONTROLS, options.settings)
    config["methods"] = [entry.name for entry in methods]
    config["attacks"] = [str(choice) for choice in selection.attacks] or ["none"]
    config["benchmarks"] = [entry.name for entry in selection.benchmarks]
    config["analyses"] = [entry.name for entry in selection.analyses] or ["none"]
    config["data"] = {name: str(path) for name, path in data.items()}
    adapters = {"lora_r", "lora_alpha"} if options.lora else set()
    config["settings"] = {
        f"{entry.name}.{name}": value
        for entry, given in overrides.items()
        for name, value in resolve(entry.load(), given).model_dump(mode="json", by_alias=True).items()
        if name in given.keys() - adapters
    }
    return {name: config[name] for name in RunOptions.model_fields if name in config}
