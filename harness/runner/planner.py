"""From a selection to cells: what there is to do, under which key, and what shares work with what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ..core.base import Attack, Benchmark, Method
from ..core.fingerprint import engine_fingerprint
from ..core.keys import key, splits_fingerprint
from ..core.names import LABEL
from ..core.types import Splits
from ..engine.protocol import Protocol, with_protocol, with_rates
from ..engine.source import Source
from ..engine.targets import recipes
from ..errors import HarnessError
from ..plugins.registry import Registry
from ..plugins.selection import Selection
from ..plugins.settings import Overrides, resolve, resolve_variants
from ..store.schema import PROTOCOL
from .plan import Cell, Group, Plan, Reference, Spec, spec
from .utility import Utility


def make(
    registry: Registry,
    selection: Selection,
    overrides: Overrides,
    source: Source,
    seeds: Sequence[int],
    data: Mapping[str, Path] | None = None,
    utility: Utility | None = None,
) -> Plan:
    """Resolve every setting, load every benchmark's facts, and give every cell its key.

    Raises HarnessError for anything that would not run: nothing has been computed yet.
    """
    plan = Plan(source)
    tasks = cache(lambda own: utility_of(utility, own) if utility else None)
    for entry in selection.benchmarks:
        config = resolve(entry.load(), overrides.get(entry, {}))
        chosen = spec(entry, config, (data or {}).get(entry.name), source.prepared)
        benchmark, splits = loaded(chosen, registry)
        roles = recipes(benchmark, splits, source)
        plan.trained |= len(roles) > 1
        plan.recipes.update({recipe.key: (chosen, role) for role, recipe in roles.items()})
        attacks = attacks_of(selection, overrides, source.protocol, splits, entry.name, plan.left_out)
        if measured := tasks(benchmark.utility_tasks):
            attacks.insert(0, (LABEL, measured))
        shared = {
            "protocol": PROTOCOL,
            "engine": engine_fingerprint(),
            "benchmark": chosen.identity(),
            "data": splits_fingerprint(splits),
            "target": roles["original"].key,
            "dtype": source.dtype,
        }
        reference = None
        if "retrain" in roles and type(benchmark).against_twin is not Benchmark.against_twin:
            scored = {**shared, "target": roles["retrain"].key, "samples": "twin"}
            reference = Reference(key(scored), chosen, roles["retrain"].key)
        for method in selection.methods:
            cls: type[Method] = method.load()  # type: ignore[assignment]
            if cls.needs_twin and "retrain" not in roles:
                plan.left_out.append(
                    f"{cls.name} on {entry.name}: no model can be trained without its forget set."
                )
                continue
            config = with_protocol(cls, resolve(cls, overrides.get(method, {})), source.protocol)
            twin = roles["retrain"].key if cls.needs_twin else None
            plan.groups += groups(
                shared, chosen, spec(method, config), twin, cls.seeded, seeds, attacks, reference
            )
    return plan


def attacks_of(
    selection: Selection,
    overrides: Overrides,
    protocol: Protocol,
    splits: Splits,
    benchmark: str,
    left_out: list[str],
) -> list[tuple[str, Spec]]:
    """Label and spec of every variant of every attack whose data the benchmark has."""
    found = []
    for choice in selection.attacks:
        cls: type[Attack] = choice.entry.load()  # type: ignore[assignment]
        for label, config in resolve_variants(cls, overrides.get(choice.entry, {}), choice.variant):
            if reason := cls(config).lacks(splits):
                left_out.append(f"{' '.join(filter(None, (cls.name, label)))} on {benchmark}: {reason}.")
            else:
                found.append((label, spec(choice.entry, with_rates(cls, config, protocol))))
    return found


def utility_of(utility: Utility, own: str) -> Spec | None:
    """lm-eval in the place of an attack: a cell of its own, on the unlearned model before any attack."""
    resolved = utility.resolve(own)
    return Spec(LABEL, "none", *resolved, utility.directory) if resolved else None


def groups(
    shared: Mapping[str, Any],
    benchmark: Spec,
    method: Spec,
    twin: str | None,
    seeded: bool,
    seeds: Sequence[int],
    attacks: Sequence[tuple[str, Spec]],
    reference: Reference | None,
) -> list[Group]:
    """The groups of one method on one benchmark: one for each unlearned model."""
    made = {**shared, "method": method.identity(), "twin": twin}
    compared = reference.key if reference else None
    of_model: dict[str, list[Cell]] = defaultdict(list)
    for seed in seeds:
        cells = of_model[key({**made, "seed": seed if seeded else None})]
        before = key({**made, "seed": seed, "attack": None, "reference": compared})
        cells.append(Cell(before, seed, None, ""))
        for label, attack in attacks:
            identity = {**attack.identity(), "variant": label}
            cells.append(Cell(key({**made, "seed": seed, "attack": identity}), seed, attack, label))
    return [
        Group(
            unlearned,
            benchmark,
            shared["data"],
            shared["target"],
            twin,
            method,
            cells[0].seed,
            tuple(cells),
            reference,
        )
        for unlearned, cells in of_model.items()
    ]


@lru_cache(maxsize=8)
def loaded(benchmark: Spec, registry: Registry) -> tuple[Benchmark, Splits]:
    """A benchmark and its facts, read once per process. Raises HarnessError where a needed split is empty."""
    made: Benchmark = benchmark.make(registry)
    splits = made.load()
    for name in ("forget", "retain"):
        if not splits.get(name):
            raise HarnessError(f"The benchmark '{benchmark.name}' has no facts in its split '{name}'.")
    return made, splits
