"""Rules for methods, checked on two-layer models."""

from __future__ import annotations

import torch

from ..core.memory import MemorySavings
from ..engine.integrity import FINITE, MODEL
from . import sandbox, trial
from .facts import SPLITS
from .method_trial import MethodRun, MethodTrial
from .rules import Skipped, Violation, rule
from .trial import check_repeats

PER_PASS = -(-len(SPLITS["forget"]) // sandbox.PROTOCOL.batch_size)
"""Optimiser steps that see every forget fact once."""

MICRO_BATCH = 2
"""Facts of a micro-batch; a step of three is cut into two parts of unlike size."""

ROUNDING = 1e-3
"""Relative difference of gradients that the order of additions in float32 may explain."""


@rule("runs on a two-layer Llama", "See the error; `loss` and `unlearn` get what the base class says.")
def runs(trial: MethodTrial) -> str:
    if isinstance(trial.attempt, Exception):
        raise trial.attempt
    return f"{trial.base.watch.steps} optimiser steps"


@rule("repeats itself under a seed", "Draw from job.rng, or from job.generator(NAME).")
def repeats(trial: MethodTrial) -> str:
    def differ(one: MethodRun, other: MethodRun) -> str:
        difference = sandbox.difference(one.weights, other.weights)
        told = "with the same seed, but other global random numbers, weights differ by up to"
        return f"{told} {difference:.2g}" if difference else ""

    check_repeats(trial.base, lambda seed: trial.run(global_seed=seed), differ)
    return "the same weights, whatever the global random numbers"


@rule(
    "reads the forget and the retain set, and the twin only if it says so",
    "Use job.forget and job.retain, and job.data for what `reads` names; one that takes the twin's weights "
    "declares needs_twin = True.",
)
def reads(trial: MethodTrial) -> str:
    opened, twin = trial.base.watch.opened, trial.base.subject.took_twin
    if undeclared := opened - {"forget", "retain"} - trial.cls.reads:
        raise Violation(f"it read the split {', '.join(sorted(undeclared))}")
    if twin and not trial.cls.needs_twin:
        raise Violation("it took the retrain twin, and needs_twin is False")
    return ", ".join([*sorted(opened), *(["the twin"] if twin else [])]) or "nothing"


@rule("leaves a finite model", FINITE)
def finite(trial: MethodTrial) -> str:
    trial.require(lambda run: run.not_finite)
    return "every weight is a number"


@rule(
    "leaves a plain, trainable model",
    MODEL,
)
def plain(trial: MethodTrial) -> str:
    trial.require(lambda run: "; ".join(run.watch.leftovers))
    return "the same modules and names, no hooks, everything trains"


@rule(
    "a step in micro-batches equals the whole step",
    "Normalise by step_items or step_tokens of the batch, which count the whole optimisation step; a mean "
    "over the batch itself changes with --micro-batch.",
)
def micro_batches(trial: MethodTrial) -> str:
    assert trial.runs
    whole, parts = trial.first_gradient(None), trial.first_gradient(MICRO_BATCH)
    if whole is None or parts is None:
        return "the engine takes no step for it"
    compare(whole, parts, "cut into micro-batches")
    return "the same gradient"


@rule(
    "a step with activation checkpointing equals the step without",
    "Have hooks on parts of a layer in place until the gradient is taken: yield the term within the block "
    "that puts them there, and take in each hook's second call as well as its first.",
)
def checkpointing(trial: MethodTrial) -> str:
    assert trial.runs
    plain = trial.first_gradient(None)
    again = trial.first_gradient(None, MemorySavings(checkpointing=True))
    if plain is None or again is None:
        return "the engine takes no step for it"
    compare(plain, again, "with activation checkpointing")
    return "the same gradient"


def compare(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], how: str) -> None:
    """Raise Violation where two gradients of a step differ by more than rounding."""
    if one.keys() != other.keys():
        raise Violation(f"{min(one.keys() ^ other.keys())} gets a gradient in one of them only")
    size = norm(one)
    difference = norm({name: other[name] - one[name] for name in one})
    if not difference <= ROUNDING * size:
        raise Violation(f"{how}, the gradient of a step differs by {difference / (size or 1.0):.0%}")


def norm(gradients: dict[str, torch.Tensor]) -> float:
    """The norm of all gradients together."""
    return sum(float(gradient.double().square().sum()) for gradient in gradients.values()) ** 0.5


@rule(
    "stops when it has forgotten",
    "Leave training to job.run_protocol(self), or look at job.forget_score(metric) as you train, between two "
    "rates at the latest, and stop where it is at or below the benchmark's threshold.",
)
def stops(trial: MethodTrial) -> str:
    assert trial.runs
    run = trial.run(forgotten_after=PER_PASS)
    watch = run.watch
    if watch.late:
        raise Violation(
            f"it took {watch.late} more optimiser steps after a look said the forget set is forgotten"
        )
    if watch.most_unchecked > (most := budget(run)[0]):
        raise Violation(
            f"it took {watch.most_unchecked} optimiser steps without a look at the forget score; the budget "
            f"of one rate is {most}"
        )
    if watch.steps and not watch.forgotten:
        return f"it trains for {watch.steps} steps, within one budget, and does not look"
    return f"after {watch.steps} steps" if watch.steps else "it takes no optimiser steps"


@rule(
    "keeps to its budget",
    "Take at most `epochs` passes over the forget set at each of `learning_rates`, as job.run_protocol does.",
)
def keeps_budget(trial: MethodTrial) -> str:
    (most, rates), taken = budget(trial.base), trial.base.watch.steps
    if taken > most * rates:
        raise Violation(f"it took {taken} optimiser steps; the budget is {most} for each of {rates} rates")
    return f"{taken} of {most * rates} optimiser steps"


def budget(run: MethodRun) -> tuple[int, int]:
    """Optimiser steps that one rate may take, and how many rates there are.

    A method whose settings say nothing has the passes of the protocol, and may take the facts one by one.
    """
    config, facts = run.job.config, len(run.job.forget)
    batch = min(getattr(config, "batch_size", None) or 1, facts)
    epochs = getattr(config, "epochs", None) or sandbox.PROTOCOL.epochs
    rates = getattr(config, "learning_rates", None) or sandbox.PROTOCOL.learning_rates
    return -(-facts // batch) * epochs, len(rates)


@rule(
    "its model saves and loads",
    "Change weights in place, under torch.no_grad(), instead of putting other tensors or modules there.",
)
def saves(trial: MethodTrial) -> str:
    if trial.base.watch.leftovers:
        raise Skipped("it does not leave a plain model")
    subject = trial.base.subject
    loaded = sandbox.reload(subject.model, subject.tokens.tokenizer, subject.dtype)
    if difference := sandbox.difference(trial.base.weights, loaded):
        raise Violation(f"loaded again, its weights differ by up to {difference:.2g}")
    return "the same weights"


@rule(
    "depends on the seed only if it says so",
    "Set seeded = True, or use no random numbers: with seeded = False all seeds share one unlearned model.",
)
def seeded(trial: MethodTrial) -> str:
    weights = trial.base.weights
    if trial.cls.seeded:
        return "it says that it does"
    if difference := sandbox.difference(weights, trial.run(seed=1).weights):
        raise Violation(f"seeded = False, and with another seed weights differ by up to {difference:.2g}")
    return "the same weights for two seeds"


RULES = (
    runs,
    repeats,
    trial.global_state,
    trial.data,
    reads,
    finite,
    plain,
    micro_batches,
    checkpointing,
    stops,
    keeps_budget,
    trial.bfloat16,
    trial.family,
    saves,
    seeded,
    trial.notes,
)
