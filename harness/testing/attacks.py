"""Rules for attacks and each of their variants, checked on two-layer models."""

from __future__ import annotations

from ..core.config import TrainingConfig
from ..plugins.settings import resolve_variants
from . import trial
from .attack_trial import AttackRun, AttackTrial
from .rules import Skipped, rule
from .trial import check_repeats


@rule(
    "runs on a two-layer Llama", "See the error; record the forget score with job.checkpoint() at least once."
)
def runs(trial: AttackTrial) -> str:
    if isinstance(trial.attempt, Exception):
        raise trial.attempt
    if not trial.attempt:
        [label, config] = resolve_variants(trial.cls, trial.settings)[0]
        reason = trial.cls(config).lacks(trial.splits)
        raise Skipped(f"{label or trial.cls.name} says it cannot run on the toy facts: {reason}")
    return f"{len(trial.attempt)} variants" if len(trial.attempt) > 1 else "with a checkpoint"


@rule("repeats itself under a seed", "Draw from job.rng, or from job.generator(NAME).")
def repeats(trial: AttackTrial) -> str:
    for label, run in trial.runs.items():
        variant = f"{label}: " if label else ""
        what = f"{variant}the same seed gave other samples or notes, with other global random numbers"

        def differ(one: AttackRun, other: AttackRun, what: str = what) -> str:
            same = repr((one.outcome.samples, one.notes)) == repr((other.outcome.samples, other.notes))
            return "" if same else what

        def again(seed: int, label: str = label) -> AttackRun:
            return trial.run(label, global_seed=seed)

        check_repeats(run, again, differ)
    return "the same samples, whatever the global random numbers"


@rule(
    "reads the splits it declares",
    "Name in `reads` every split the attacker sees, and take the facts from job.data.",
)
def reads(trial: AttackTrial) -> str:
    def problem(run: AttackRun) -> str:
        # The engine reads the forget facts to score them; it is training on them that has to be declared.
        opened = run.watch.opened - run.attack.reads - {"forget"}
        allowed = {fact.id for name in run.attack.reads for fact in trial.splits[name]}
        if more := run.attack.reads - trial.cls.reads:
            return f"the instance reads {', '.join(sorted(more))}, and its class does not"
        if opened:
            return f"it read the split {', '.join(sorted(opened))}"
        if run.subject.took_twin:
            return "it took the retrain twin, which no attacker has"
        if hidden := sorted(run.trained - allowed):
            return f"it encoded {len(hidden)} facts of no declared split, {hidden[0]} among them"
        return ""

    trial.require(problem)
    return ", ".join(sorted(trial.cls.reads)) or "nothing"


@rule(
    "is scored on facts it did not train on",
    "Take the facts you train on out of the scored ones with job.score_only() before the first checkpoint.",
)
def scored(trial: AttackTrial) -> str:
    def problem(run: AttackRun) -> str:
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
        if run.notes["forget_metric"] not in metrics:
            return f"there is no sample of {run.notes['forget_metric']}, its score"
        return ""

    trial.require(problem)
    counts = (len({sample.fact_id for sample in run.outcome.samples}) for run in trial.runs.values())
    return f"{', '.join(map(str, counts))} facts"


@rule(
    "records finite numbers",
    "Leave a value out that cannot be computed, and lower the step where weights overflow.",
)
def finite(trial: AttackTrial) -> str:
    trial.require(lambda run: run.not_finite)
    return "every sample is a number"


@rule(
    "leaves a plain model for the next attack",
    "Remove hooks and adapters, and set requires_grad and eval() back; the engine restores only the weights.",
)
def plain(trial: AttackTrial) -> str:
    trial.require(lambda run: "; ".join(run.watch.leftovers))
    return "the same modules and names, no hooks, everything trains"


@rule(
    "keeps to its budget",
    "Train with job.finetune(facts), or take at most config.stops(len(facts))[-1] steps.",
)
def keeps_budget(trial: AttackTrial) -> str:
    def problem(run: AttackRun) -> str:
        most, steps = budget(run), run.watch.steps
        if most is None or steps <= most:
            return ""
        return f"it took {steps} optimiser steps; its settings allow {most}"

    trial.require(problem)
    steps = [run.watch.steps for run in trial.runs.values()]
    if not any(steps):
        return "it does not train"
    stated = None not in [budget(run) for run in trial.runs.values()]
    return f"{', '.join(map(str, steps))} optimiser steps" + (
        "" if stated else ", and its settings state no budget"
    )


def budget(run: AttackRun) -> int | None:
    """Optimiser steps that the settings allow, at all rates together; None where they do not say."""
    config = run.attack.config
    rates = len(getattr(config, "learning_rates", None) or (0,))
    if isinstance(config, TrainingConfig):
        return config.stops(max(len(run.trained), 1))[-1] * rates
    steps = getattr(config, "steps", None)
    return steps * rates if isinstance(steps, int) else None


RULES = (
    runs,
    repeats,
    trial.global_state,
    trial.data,
    reads,
    scored,
    finite,
    plain,
    keeps_budget,
    trial.bfloat16,
    trial.family,
    trial.notes,
)
