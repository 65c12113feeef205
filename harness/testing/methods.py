"""What must hold of every method, tried on two-layer models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..core.base import Method
from ..core.types import Fact, Measure
from ..engine.protocol import with_protocol
from ..engine.unlearning import UnlearningJob, unlearn
from ..model import models
from . import rules, sandbox
from .facts import SPLITS, Toy, splits_with
from .rules import Broken, Rulebook, Skipped, as_json

PER_PASS = -(-len(SPLITS["forget"]) // sandbox.PROTOCOL.batch_size)
"""Optimiser steps that see every forget fact once."""

METHODS: Rulebook[MethodTrial] = Rulebook()


class Scripted(Toy):
    """The toy facts, asked as ever, but remembered until so many optimiser steps were taken."""

    def __init__(self, watch: sandbox.Watch, forgotten_after: float, stop: tuple[str, float] | None) -> None:
        super().__init__()
        self.watch, self.forgotten_after = watch, forgotten_after
        own = (stop[0],) if stop else ()
        self.curve_metrics = tuple(dict.fromkeys((*Toy.curve_metrics, *own)))

    def ask(self, split: str, fact: Fact) -> Iterator[Measure]:
        for measure in super().ask(split, fact):

            def value(*answers: Any, measure: Measure = measure) -> float:
                known = float(measure.value(*answers))
                if split != "forget":
                    return known
                forgotten = self.watch.steps >= self.forgotten_after
                self.watch.look(forgotten)
                return 0.0 if forgotten else 1.0

            yield Measure(split, measure.metric, fact.id, measure.requests, value)


@dataclass
class Run:
    """What was seen of one unlearning."""

    subject: sandbox.Observed
    job: UnlearningJob
    watch: sandbox.Watch
    weights: models.Weights
    opened: set[str]
    changed_data: bool
    odd: list[str]


@dataclass
class MethodTrial:
    """A method under trial: the runs that rules look at, each made once."""

    cls: type[Method]
    given: dict[str, Any]

    def run(
        self,
        family: str = "llama",
        dtype: str = "float32",
        seed: int = 0,
        world: int = 1,
        rates: Sequence[float] = sandbox.PROTOCOL.learning_rates,
        forgotten_after: float = float("inf"),
    ) -> Run:
        """Unlearn the toy facts with a fresh model and a fresh instance."""
        watch = sandbox.Watch()
        benchmark = Scripted(watch, forgotten_after, self.cls.stop)
        splits = sandbox.Guarded(splits_with("test"))
        subject = sandbox.subject(benchmark, splits, family, dtype)
        model, before = subject.model, sandbox.anatomy(subject.model)
        data = splits.fingerprint()
        config = sandbox.small(self.cls, self.given, learning_rates=tuple(rates))
        method = self.cls(with_protocol(self.cls, config, sandbox.PROTOCOL))
        watch.model = model
        with watch.watching(world):
            job = unlearn(subject, method, seed)
        odd = sandbox.changes(before, sandbox.anatomy(model))
        if subject.model is not model:
            odd.append("job.subject.model is another object")
        changed = splits.fingerprint() != data
        return Run(subject, job, watch, models.snapshot(model), splits.opened, changed, odd)

    @cached_property
    def _base(self) -> Run | Exception:
        try:
            return self.run()
        except Exception as error:
            return error

    @property
    def base(self) -> Run:
        """The run that most rules look at; rules other than the first are skipped where it fails."""
        if isinstance(self._base, Exception):
            raise Skipped("it does not run")
        return self._base


@METHODS.rule(
    "runs on a two-layer Llama", "See the error; `loss` and `unlearn` get what the base class says."
)
def _runs(trial: MethodTrial) -> str:
    if isinstance(trial._base, Exception):
        raise trial._base
    return f"{trial._base.watch.steps} optimiser steps"


@METHODS.rule(
    "repeats itself under a seed",
    "Draw from job.rng, or from job.generator(NAME).",
)
def _repeats(trial: MethodTrial) -> str:
    apart = sandbox.difference(trial.base.weights, trial.run(world=2).weights)
    if apart:
        raise Broken(
            f"with the same seed, but other global random numbers, weights differ by up to {apart:.2g}"
        )
    return "the same weights, whatever the global random numbers"


@METHODS.rule(*rules.GLOBAL_STATE)
def _global(trial: MethodTrial) -> str:
    if trial.base.watch.touched:
        raise Broken(f"it changed {', '.join(trial.base.watch.touched)}")
    return "untouched"


@METHODS.rule(*rules.DATA)
def _data(trial: MethodTrial) -> str:
    if trial.base.changed_data:
        raise Broken("the facts have changed")
    return "every fact is as it was"


@METHODS.rule(
    "reads the forget and the retain set, and the twin only if it says so",
    "Use job.forget and job.retain; one that takes the twin's weights declares needs_twin = True.",
)
def _reads(trial: MethodTrial) -> str:
    if undeclared := trial.base.opened - {"forget", "retain"}:
        raise Broken(f"it read the split {', '.join(sorted(undeclared))}")
    twin = trial.base.subject.took_twin
    if twin and not trial.cls.needs_twin:
        raise Broken("it took the retrain twin, and needs_twin is False")
    return ", ".join([*sorted(trial.base.opened), *(["the twin"] if twin else [])]) or "nothing"


@METHODS.rule(
    "leaves a finite model", "Guard divisions and logarithms, or lower the step: weights hold NaN or inf."
)
def _finite(trial: MethodTrial) -> str:
    if bad := sandbox.not_finite(trial.base.subject.model):
        raise Broken(f"{len(bad)} weights are not finite, {bad[0]} among them")
    return "every weight is a number"


@METHODS.rule(
    "leaves a plain, trainable model",
    "Remove hooks and wrappers, set requires_grad and eval() back, and change job.model in place.",
)
def _plain(trial: MethodTrial) -> str:
    if trial.base.odd:
        raise Broken("; ".join(trial.base.odd))
    return "the same modules and names, no hooks, everything trains"


@METHODS.rule(
    "stops when it has forgotten",
    "Leave training to job.run_protocol(self), or look at job.forget_score(metric) as you train, between two "
    "rates at the latest, and stop where it is at or below the benchmark's threshold.",
)
def _stops(trial: MethodTrial) -> str:
    trial.base  # noqa: B018  one that does not run is told once
    run = trial.run(forgotten_after=PER_PASS)
    watch = run.watch
    if watch.late:
        raise Broken(
            f"it took {watch.late} more optimiser steps after a look said the forget set is forgotten"
        )
    if watch.unseen > (most := budget(run)[0]):
        raise Broken(
            f"it took {watch.unseen} optimiser steps without a look at the forget score; the budget of one "
            f"rate is {most}"
        )
    if watch.steps and not watch.forgotten:
        return f"it trains for {watch.steps} steps, within one budget, and does not look"
    return f"after {watch.steps} steps" if watch.steps else "it takes no optimiser steps"


@METHODS.rule(
    "keeps to its budget",
    "Take at most `epochs` passes over the forget set at each of `learning_rates`, as job.run_protocol does.",
)
def _budget(trial: MethodTrial) -> str:
    (most, rates), taken = budget(trial.base), trial.base.watch.steps
    if taken > most * rates:
        raise Broken(f"it took {taken} optimiser steps; the budget is {most} for each of {rates} rates")
    return f"{taken} of {most * rates} optimiser steps"


def budget(run: Run) -> tuple[int, int]:
    """Optimiser steps that one rate may take, and how many rates there are.

    A method whose settings say nothing has the passes of the protocol, and may take the facts one by one.
    """
    config, facts = run.job.config, len(run.job.forget)
    batch = min(getattr(config, "batch_size", None) or 1, facts)
    epochs = getattr(config, "epochs", None) or sandbox.PROTOCOL.epochs
    rates = getattr(config, "learning_rates", None) or sandbox.PROTOCOL.learning_rates
    return -(-facts // batch) * epochs, len(rates)


@METHODS.rule(*rules.BFLOAT16)
def _bf16(trial: MethodTrial) -> str:
    return _sound(trial, dtype="bfloat16")


@METHODS.rule(*rules.FAMILY)
def _family(trial: MethodTrial) -> str:
    return _sound(trial, family="gpt_neox")


def _sound(trial: MethodTrial, **way: str) -> str:
    base = trial.base
    run = trial.run(rates=sandbox.PROTOCOL.learning_rates[:1], **way)  # type: ignore[arg-type]
    # What is wrong everywhere is told once, by the rules that look at the base run.
    if run.odd and not base.odd:
        raise Broken("; ".join(run.odd))
    if (bad := sandbox.not_finite(run.subject.model)) and not sandbox.not_finite(base.subject.model):
        raise Broken(f"{len(bad)} weights are not finite, {bad[0]} among them")
    return f"{run.watch.steps} optimiser steps"


@METHODS.rule(
    "its model saves and loads",
    "Change weights in place, under torch.no_grad(), instead of putting other tensors or modules there.",
)
def _saves(trial: MethodTrial) -> str:
    if trial.base.odd:
        raise Skipped("it does not leave a plain model")
    subject = trial.base.subject
    again = sandbox.reload(subject.model, subject.tokens.tokenizer, subject.dtype)
    if apart := sandbox.difference(trial.base.weights, again):
        raise Broken(f"loaded again, its weights differ by up to {apart:.2g}")
    return "the same weights"


@METHODS.rule(
    "depends on the seed only if it says so",
    "Set seeded = True, or use no random numbers: with seeded = False all seeds share one unlearned model.",
)
def _seeded(trial: MethodTrial) -> str:
    base = trial.base
    if trial.cls.seeded:
        return "it says that it does"
    if apart := sandbox.difference(base.weights, trial.run(seed=1).weights):
        raise Broken(f"seeded = False, and with another seed weights differ by up to {apart:.2g}")
    return "the same weights for two seeds"


@METHODS.rule(*rules.NOTES)
def _notes(trial: MethodTrial) -> str:
    return as_json(trial.base.job.notes)
