"""From a selection to a plan: which cells there are, under which keys, and which share an unlearned model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ..core.base import Attack, Method
from ..core.benchmark import Benchmark
from ..core.fingerprint import engine_fingerprint
from ..core.keys import key, splits_fingerprint
from ..core.names import ANALYSIS, ATTACK, EVALUATION, UTILITY
from ..core.types import Fact, Splits
from ..engine.pair import Pair
from ..engine.protocol import Protocol, with_budget, with_protocol
from ..engine.source import Source
from ..engine.targets import Recipe, recipes
from ..errors import HarnessError
from ..plugins.registry import Registry
from ..plugins.selection import Selection
from ..plugins.settings import Overrides, overrides_of, resolve, resolve_variants
from ..store.schema import PROTOCOL
from .analyses import NO_ANALYSES, Analyses, analyses_of
from .plan import Cell, Group, Plan, Reference, Scores, Spec, Target, UtilityTasks, spec
from .plugin_code import plugin_code
from .tasks import Utility

CANDIDATES = "candidates"
"""The samples that say which facts the original answers."""


def make(
    registry: Registry,
    selection: Selection,
    overrides: Overrides,
    source: Source,
    seeds: Sequence[int],
    data: Mapping[str, Path] | None = None,
    utility: Utility | None = None,
    targets: int = 1,
    limit: str = "",
    pair: Pair | None = None,
) -> Plan:
    """Resolve every setting, load every benchmark's facts, and give every cell its key.

    The ``limit`` of damage that stops unlearning, or another optimiser, is part of the protocol: results of
    two never meet.
    A seed runs on the target of its number, counted round ``targets`` of them that are trained independently.
    The models of a ready ``pair`` are taken as they are, whatever the benchmark would train.

    Raises HarnessError for anything that would not run: nothing has been computed yet.
    """
    plan = Plan(source)
    tasks = cache(lambda builtin: utility_tasks(utility, builtin))
    for entry in selection.benchmarks:
        config = resolve(entry.load(), overrides.get(entry, {}))
        chosen = spec(entry, config, (data or {}).get(entry.name), source.prepared)
        benchmark, splits = loaded(chosen, registry)
        attacks = attacks_of(selection, overrides, source.protocol, splits, entry.name, plan.left_out)
        measured = tasks(benchmark.utility_tasks)
        analyses = analyses_of(selection, overrides, [spec for _, spec in attacks], entry.name, plan.left_out)
        with plugin_code(f"The benchmark '{entry.name}'"):
            candidates = tuple(benchmark.candidates(splits))
            made = [recipes(benchmark, splits, source, number) for number in range(targets)]
        replicates = [pair.recipes()] if pair else made
        works = []
        for models in replicates if replicates[0]["original"].training else replicates[:1]:
            for role, recipe in models.items():
                plan.recipes[recipe.key] = Target(chosen, role, recipe.replicate)
            shared = shared_key(chosen, splits, models["original"], source, limit, candidates)
            screening = scores(chosen, models["original"], shared, CANDIDATES) if candidates else None
            twin = reference(chosen, benchmark, splits, models, shared, screening)
            both = of_pair(chosen, benchmark, models["original"], twin, shared) if pair and twin else None
            works.append(Work(chosen, models, shared, twin, attacks, measured, both, screening, analyses))
        for method in selection.methods:
            cls: type[Method] = method.load()  # type: ignore[assignment]
            if cls.needs_twin and "retrain" not in replicates[0]:
                reason = "there is no --retrain" if pair else "no model can be trained without its forget set"
                plan.left_out.append(f"{cls.name} on {entry.name}: {reason}.")
                continue
            config = with_protocol(cls, resolve(cls, overrides_of(method, overrides)), source.protocol)
            with plugin_code(f"The method '{method.name}'"):
                lacks = cls(config).lacks(splits)
            if lacks:
                plan.left_out.append(f"{cls.name} on {entry.name}: {lacks}.")
                continue
            for number, work in enumerate(works):
                own = [seed for seed in seeds if seed % len(works) == number]
                plan.groups += work.groups(spec(method, config), cls, own)
    return plan


def shared_key(
    benchmark: Spec,
    splits: Splits,
    original: Recipe,
    source: Source,
    limit: str = "",
    candidates: tuple[Fact, ...] = (),
) -> dict[str, Any]:
    """What is in the key of every cell on a benchmark, and of its twin's scores.

    Which candidates the original answers follows from the rest.
    """
    asked = Splits({**splits, CANDIDATES: candidates}) if candidates else splits
    return {
        "protocol": f"{PROTOCOL}, {limit}" if limit else PROTOCOL,
        "engine": engine_fingerprint(),
        "benchmark": benchmark.identity(),
        "data": splits_fingerprint(asked),
        "target": original.key,
        "dtype": source.dtype,
    }


def reference(
    spec: Spec,
    benchmark: Benchmark,
    splits: Splits,
    models: Mapping[str, Recipe],
    shared: Mapping[str, Any],
    screening: Reference | None = None,
) -> Reference | None:
    """The twin's scores, where there is a twin that says what counts as forgotten, or is compared with.

    A twin that was not trained here is always scored, for it may be none.
    """
    if (twin := models.get("retrain")) is None:
        return None
    compares = type(benchmark).against_twin is not Benchmark.against_twin
    if twin.training and not compares and benchmark.threshold(splits) is not None:
        return None
    return scores(spec, twin, shared, screening=screening)


def scores(
    spec: Spec,
    model: Recipe,
    shared: Mapping[str, Any],
    samples: str = "twin",
    screening: Reference | None = None,
) -> Reference:
    """The scores of a model on all facts, a twin's and an original's alike, or on ``CANDIDATES``."""
    identity = key({**shared, "target": model.key, "samples": samples})
    trained, screens = model.training is not None, samples == CANDIDATES
    return Reference(identity, spec, model.key, model.replicate, model.role, trained, screens, screening)


def of_pair(
    spec: Spec, benchmark: Benchmark, original: Recipe, twin: Reference, shared: Mapping[str, Any]
) -> Scores:
    """The scores of both models of a ready pair."""
    forget = "forget", benchmark.forget_metric
    own = scores(spec, original, shared, screening=twin.screening)
    return Scores(own, twin, forget, benchmark.retain_metric)


def attacks_of(
    selection: Selection,
    overrides: Overrides,
    protocol: Protocol,
    splits: Splits,
    benchmark: str,
    left_out: list[str],
) -> list[tuple[str, Spec]]:
    """Label and spec of every variant of every attack whose data the benchmark has."""
    variants = []
    for choice in selection.attacks:
        cls: type[Attack] = choice.entry.load()  # type: ignore[assignment]
        for label, config in resolve_variants(cls, overrides.get(choice.entry, {}), choice.variant):
            with plugin_code(f"The attack '{choice.entry.name}'"):
                reason = cls(config).lacks(splits)
            if reason:
                left_out.append(f"{' '.join(filter(None, (cls.name, label)))} on {benchmark}: {reason}.")
            else:
                variants.append((label, spec(choice.entry, with_budget(cls, config, protocol))))
    return variants


def utility_tasks(utility: Utility | None, builtin: str) -> UtilityTasks | None:
    """lm-eval's tasks, where any are to be measured; ``builtin`` are those of the benchmark."""
    resolved = utility.resolve(builtin) if utility else None
    if utility is None or resolved is None:
        return None
    return UtilityTasks(*resolved, utility.directory, utility.trust_code)


@dataclass(frozen=True)
class Work:
    """What is to be done with every unlearned model of a benchmark."""

    benchmark: Spec
    models: Mapping[str, Recipe]
    """By role."""
    shared: Mapping[str, Any]
    """What is in the key of every cell."""
    reference: Reference | None
    attacks: Sequence[tuple[str, Spec]]
    """Label and spec of each variant."""
    tasks: UtilityTasks | None
    pair: Scores | None = None
    screening: Reference | None = None
    analyses: Analyses = NO_ANALYSES

    @property
    def family(self) -> str:
        """Key that the original models of all replicates share; of a ready pair that of both its models."""
        family = self.models["original"].family
        return key([family, self.models["retrain"].key]) if self.pair else family

    def groups(self, method: Spec, cls: type[Method], seeds: Sequence[int]) -> list[Group]:
        """The groups of one method: one for each unlearned model."""
        original = self.models["original"]
        twin = self.models["retrain"].key if cls.needs_twin else None
        compared = self.reference.key if self.reference else None
        unlearning = {**self.shared, "method": method.identity(), "twin": twin, "reference": compared}
        siblings = key({**unlearning, "target": self.family, "twin": None, "reference": None})
        by_model: dict[str, list[Cell]] = defaultdict(list)
        for seed in seeds:
            # Without a seed of its own a method gives the same model under all of them.
            unlearned = key({**unlearning, "seed": seed if cls.seeded else None})
            by_model[unlearned] += self._cells({**unlearning, "seed": seed}, seed)
        return [
            Group(
                key=unlearned,
                protocol=self.shared["protocol"],
                benchmark=self.benchmark,
                data_fingerprint=self.shared["data"],
                target=original.key,
                family=self.family,
                replicate=original.replicate,
                trained=original.training is not None,
                twin=twin,
                method=method,
                seed=cells[0].seed,
                cells=tuple(cells),
                siblings=siblings,
                worth_keeping=cls.worth_keeping,
                reference=self.reference,
                pair=self.pair,
                screening=self.screening,
            )
            for unlearned, cells in by_model.items()
        ]

    def _cells(self, decides: Mapping[str, Any], seed: int) -> list[Cell]:
        """The cells of one seed. ``decides`` goes into each key, with what only that cell depends on."""
        cells = [Cell(key({**decides, "attack": None}), seed, EVALUATION)]
        if self.tasks:
            identity = key({**decides, UTILITY: self.tasks.identity()})
            cells.append(Cell(identity, seed, UTILITY, tasks=self.tasks))
        for analysis in self.analyses.before:
            identity = key({**decides, ANALYSIS: analysis.identity(), "attack": None})
            cells.append(Cell(identity, seed, ANALYSIS, analysis=analysis))
        for label, attack in self.attacks:
            under = {**attack.identity(), "variant": label}
            cells.append(Cell(key({**decides, "attack": under}), seed, ATTACK, attack, label))
            # Right after the attack, whose best checkpoint is then at hand.
            for analysis in self.analyses.after if attack.name in self.analyses.training else ():
                identity = key({**decides, ANALYSIS: analysis.identity(), "attack": under})
                cells.append(Cell(identity, seed, ANALYSIS, attack, label, analysis=analysis))
        return cells


@lru_cache(maxsize=8)
def loaded(benchmark: Spec, registry: Registry) -> tuple[Benchmark, Splits]:
    """A benchmark and its facts, read once per process. Raises HarnessError where a needed split is empty."""
    with plugin_code(f"The benchmark '{benchmark.name}'"):
        made: Benchmark = benchmark.make(registry)
        splits = made.load()
        if not isinstance(splits, Splits):
            raise TypeError(f"its load() must return Splits, and returns {type(splits).__name__}")
    for name in ("forget", "retain"):
        if not splits.get(name):
            raise HarnessError(f"The benchmark '{benchmark.name}' has no facts in its split '{name}'.")
    return made, splits
