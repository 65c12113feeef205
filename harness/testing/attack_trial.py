"""An attack on trial: each of its variants against two-layer models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from ..core.base import Attack
from ..core.config import Config
from ..core.types import Fact, Outcome, Splits
from ..engine.attacking import run_attack
from ..engine.protocol import with_budget
from ..model import models
from ..plugins.settings import resolve_variants
from . import sandbox
from .facts import Toy, splits_with
from .observe import Guarded, Watch
from .trial import Run, Trial

RATES = (1e-2,)


@dataclass
class AttackRun(Run):
    """What was observed of one attack."""

    attack: Attack
    outcome: Outcome
    trained: set[str]
    """Ids of the facts that were encoded as training texts."""


@dataclass
class AttackTrial(Trial[AttackRun]):
    """An attack on trial."""

    cls: type[Attack]

    @cached_property
    def splits(self) -> Splits:
        """The facts, with every split the attack declares, and one that it does not."""
        return splits_with(*sorted(self.cls.reads), "test")

    @cached_property
    def variants(self) -> dict[str, Config]:
        """Quick settings of each variant that says it can run on these facts."""
        configs = {}
        for label, config in resolve_variants(self.cls, self.settings):
            chosen = {name: getattr(config, name) for name in config.model_fields_set}
            quick = with_budget(
                self.cls, sandbox.small(self.cls, chosen, learning_rates=RATES), sandbox.PROTOCOL
            )
            if not self.cls(quick).lacks(self.splits):
                configs[label] = quick
        return configs

    def first_runs(self) -> dict[str, AttackRun]:
        """Each variant against a Llama."""
        return {label: self.run(label) for label in self.variants}

    def rerun(self, variant: str, family: str = "llama", dtype: str = "float32") -> AttackRun:
        """The same attack against another model."""
        return self.run(variant, family, dtype)

    def run(
        self, label: str, family: str = "llama", dtype: str = "float32", global_seed: int = 1
    ) -> AttackRun:
        """Attack a fresh model with a fresh instance."""
        watch, attack = Watch(), self.cls(self.variants[label])
        subject = sandbox.subject(Toy(), Guarded(self.splits), family, dtype)
        trained: set[str] = set()
        encode = subject.encode

        def record(facts: Sequence[Fact], answer: str | None = None) -> Any:
            trained.update(fact.id for fact in facts)
            return encode(facts, answer)

        subject.encode = record  # type: ignore[method-assign]
        with watch.watching_model(subject, global_seed):
            weights = models.snapshot(subject.model)
            original = sandbox.others(family, dtype) if attack.needs_original else None
            outcome = run_attack(subject, attack, 0, weights, original)
        sample = next((s for s in outcome.samples if not isfinite(s.value)), None)
        bad = f"{sample.metric} of {sample.fact_id} is {sample.value}" if sample else ""
        return AttackRun(subject, watch, outcome.notes, bad, attack, outcome, trained)
