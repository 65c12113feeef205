"""What must hold of every attack and each of its variants, tried on two-layer models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from ..core.base import Attack
from ..core.config import Config, TrainingConfig
from ..core.types import Fact, Outcome, Splits
from ..engine.attacking import run_attack
from ..engine.protocol import with_rates
from ..model import models
from ..plugins.settings import resolve_variants
from . import rules, sandbox
from .facts import Toy, splits_with
from .rules import Broken, Rulebook, Skipped, as_json

ATTACKS: Rulebook[AttackTrial] = Rulebook()
RATES = (1e-2,)


@dataclass
class Run:
    """What was seen of one attack."""

    attack: Attack
    outcome: Outcome
    watch: sandbox.Watch
    opened: set[str]
    took_twin: bool
    trained: set[str]
    """Ids of the facts that were encoded as training texts."""
    changed_data: bool
    odd: list[str]
    """What is not as it was, once the engine has put the weights back."""


@dataclass
class AttackTrial:
    """An attack under trial: the runs that rules look at, each made once."""

    cls: type[Attack]
    given: dict[str, Any]

    @cached_property
    def splits(self) -> Splits:
        """The facts, with every split the attack asks for, and one it did not ask for."""
        return splits_with(*sorted(self.cls.reads), "test")

    @cached_property
    def variants(self) -> dict[str, Config]:
        """Settings of each variant that says it can run on these facts, made quick."""
        found = {}
        for label, config in resolve_variants(self.cls, self.given):
            chosen = {name: getattr(config, name) for name in config.model_fields_set}
            quick = with_rates(
                self.cls, sandbox.small(self.cls, chosen, learning_rates=RATES), sandbox.PROTOCOL
            )
            if not self.cls(quick).lacks(self.splits):
                found[label] = quick
        return found

    def run(
        self, label: str, family: str = "llama", dtype: str = "float32", seed: int = 0, world: int = 1
    ) -> Run:
        """Attack a fresh model with a fresh instance."""
        watch, attack = sandbox.Watch(), self.cls(self.variants[label])
        splits = sandbox.Guarded(self.splits)
        subject = sandbox.subject(Toy(), splits, family, dtype)
        trained: set[str] = set()
        encode = subject.encode

        def listen(facts: Sequence[Fact], answer: str | None = None) -> Any:
            trained.update(fact.id for fact in facts)
            return encode(facts, answer)

        subject.encode = listen  # type: ignore[method-assign]
        model, before, data = subject.model, sandbox.anatomy(subject.model), splits.fingerprint()
        weights = models.snapshot(model)
        watch.model = model
        with watch.watching(world):
            outcome = run_attack(subject, attack, seed, {n: t.clone() for n, t in weights.items()})
        odd = sandbox.changes(before, sandbox.anatomy(model))
        if subject.model is not model:
            odd.append("job.subject.model is another object")
        changed = splits.fingerprint() != data
        return Run(attack, outcome, watch, splits.opened, subject.took_twin, trained, changed, odd)

    @cached_property
    def _base(self) -> dict[str, Run] | Exception:
        try:
            return {label: self.run(label) for label in self.variants}
        except Exception as error:
            return error

    @property
    def base(self) -> dict[str, Run]:
        """By variant, the run that most rules look at; other rules are skipped where one fails."""
        if isinstance(self._base, Exception):
            raise Skipped("it does not run")
        if not self._base:
            raise Skipped("no variant can run on the toy facts")
        return self._base

    def each(self, wrong: Any) -> None:
        """Raise Broken with what ``wrong(run)`` says of the first variant of which it says something."""
        for label, run in self.base.items():
            if said := wrong(run):
                raise Broken(f"{label}: {said}" if label else said)


@ATTACKS.rule(
    "runs on a two-layer Llama", "See the error; record the forget score with job.checkpoint() at least once."
)
def _runs(trial: AttackTrial) -> str:
    if isinstance(trial._base, Exception):
        raise trial._base
    if not trial._base:
        [label, config] = resolve_variants(trial.cls, trial.given)[0]
        reason = trial.cls(config).lacks(trial.splits)
        raise Skipped(f"{label or trial.cls.name} says it cannot run on the toy facts: {reason}")
    return f"{len(trial._base)} variants" if len(trial._base) > 1 else "with a checkpoint"


@ATTACKS.rule(
    "repeats itself under a seed",
    "Draw from job.rng, or from job.generator(NAME).",
)
def _repeats(trial: AttackTrial) -> str:
    for label, run in trial.base.items():
        again = trial.run(label, world=2)
        if repr((run.outcome.samples, run.outcome.notes)) != repr(
            (again.outcome.samples, again.outcome.notes)
        ):
            way = f"{label}: " if label else ""
            raise Broken(f"{way}the same seed gave other samples or notes, with other global random numbers")
    return "the same samples, whatever the global random numbers"


@ATTACKS.rule(*rules.GLOBAL_STATE)
def _global(trial: AttackTrial) -> str:
    trial.each(lambda run: run.watch.touched and f"it changed {', '.join(run.watch.touched)}")
    return "untouched"


@ATTACKS.rule(*rules.DATA)
def _data(trial: AttackTrial) -> str:
    trial.each(lambda run: run.changed_data and "the facts have changed")
    return "every fact is as it was"


@ATTACKS.rule(
    "reads the splits it declares",
    "Name in `reads` every split the attacker sees, and take the facts from job.data.",
)
def _reads(trial: AttackTrial) -> str:
    def wrong(run: Run) -> str:
        # The engine reads the forget facts to score them; it is training on them that has to be declared.
        opened = run.opened - run.attack.reads - {"forget"}
        allowed = {fact.id for name in run.attack.reads for fact in trial.splits[name]}
        if more := run.attack.reads - trial.cls.reads:
            return f"the instance reads {', '.join(sorted(more))}, and its class does not"
        if opened:
            return f"it read the split {', '.join(sorted(opened))}"
        if run.took_twin:
            return "it took the retrain twin, which no attacker has"
        if hidden := sorted(run.trained - allowed):
            return f"it encoded {len(hidden)} facts of no declared split, {hidden[0]} among them"
        return ""

    trial.each(wrong)
    return ", ".join(sorted(trial.cls.reads)) or "nothing"


@ATTACKS.rule(
    "is scored on facts it did not train on",
    "Take the facts you train on out of the scored ones with job.score_only() before the first checkpoint.",
)
def _scored(trial: AttackTrial) -> str:
    def wrong(run: Run) -> str:
        scored = {sample.fact_id for sample in run.outcome.samples}
        metrics = {sample.metric for sample in run.outcome.samples}
        forget = {fact.id for fact in trial.splits["forget"]}
        if both := sorted(scored & run.trained):
            return f"{len(both)} facts are both trained on and scored, {both[0]} among them"
        if strange := sorted(scored - forget):
            return f"it scored {strange[0]}, which is no forget fact"
        if {sample.split for sample in run.outcome.samples} != {"forget"}:
            return "its samples are not of the split 'forget'"
        if len(scored) < 2:
            return f"it scored {len(scored)} facts, and at least 2 make an interval"
        if run.outcome.notes["forget_metric"] not in metrics:
            return f"there is no sample of {run.outcome.notes['forget_metric']}, its score"
        return ""

    trial.each(wrong)
    return (
        ", ".join(str(len({s.fact_id for s in run.outcome.samples})) for run in trial.base.values())
        + " facts"
    )


@ATTACKS.rule(
    "records finite numbers",
    "Leave a value out that cannot be computed, and lower the step where weights overflow.",
)
def _finite(trial: AttackTrial) -> str:
    trial.each(not_finite)
    return "every sample is a number"


def not_finite(run: Run) -> str:
    """The first sample that is no number, or nothing."""
    bad = next((s for s in run.outcome.samples if not isfinite(s.value)), None)
    return f"{bad.metric} of {bad.fact_id} is {bad.value}" if bad else ""


@ATTACKS.rule(
    "leaves a plain model for the next attack",
    "Remove hooks and adapters, and set requires_grad and eval() back; the engine restores only the weights.",
)
def _plain(trial: AttackTrial) -> str:
    trial.each(lambda run: "; ".join(run.odd))
    return "the same modules and names, no hooks, everything trains"


@ATTACKS.rule(
    "keeps to its budget",
    "Train with job.finetune(facts), or take at most config.stops(len(facts))[-1] steps.",
)
def _budget(trial: AttackTrial) -> str:
    def wrong(run: Run) -> str:
        most = budget(run)
        taken = f"it took {run.watch.steps} optimiser steps"
        return f"{taken}; its settings allow {most}" if most is not None and run.watch.steps > most else ""

    trial.each(wrong)
    if not any(run.watch.steps for run in trial.base.values()):
        return "it does not train"
    most = [budget(run) for run in trial.base.values()]
    return ", ".join(str(run.watch.steps) for run in trial.base.values()) + (
        " optimiser steps, and its settings state no budget" if None in most else " optimiser steps"
    )


def budget(run: Run) -> int | None:
    """Optimiser steps that the settings allow, at all rates together; None where they do not say."""
    config = run.attack.config
    rates = len(getattr(config, "learning_rates", None) or (0,))
    if isinstance(config, TrainingConfig):
        return config.stops(max(len(run.trained), 1))[-1] * rates
    steps = getattr(config, "steps", None)
    return steps * rates if isinstance(steps, int) else None


@ATTACKS.rule(*rules.BFLOAT16)
def _bf16(trial: AttackTrial) -> str:
    return _sound(trial, dtype="bfloat16")


@ATTACKS.rule(*rules.FAMILY)
def _family(trial: AttackTrial) -> str:
    return _sound(trial, family="gpt_neox")


def _sound(trial: AttackTrial, **way: str) -> str:
    for label, base in trial.base.items():
        run = trial.run(label, **way)  # type: ignore[arg-type]
        # What is wrong everywhere is told once, by the rules that look at the base run.
        wrong = "" if base.odd else "; ".join(run.odd)
        wrong = wrong or (not_finite(run) if not not_finite(base) else "")
        if wrong:
            raise Broken(f"{label}: {wrong}" if label else wrong)
    return "it runs"


@ATTACKS.rule(*rules.NOTES)
def _notes(trial: AttackTrial) -> str:
    return [as_json(run.outcome.notes) for run in trial.base.values()][-1]
