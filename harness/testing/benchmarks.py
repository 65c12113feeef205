"""What must hold of every benchmark: of its facts, its measures, and what models get on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any

from ..core.base import Benchmark
from ..core.formulas import described
from ..core.keys import splits_fingerprint
from ..core.types import Fact, Splits, Training
from . import sandbox
from .benchmark_trial import BenchmarkTrial
from .rules import Broken, Rulebook, Skipped

BENCHMARKS: Rulebook[BenchmarkTrial] = Rulebook()


@BENCHMARKS.rule(
    "loads its facts", "See the error; load() returns Splits with the facts of `forget` and `retain`."
)
def _loads(trial: BenchmarkTrial) -> str:
    if isinstance(trial._loaded, Exception):
        if trial.cls.needs_data and trial.data is None:
            raise Skipped("its facts come from files: give their directory (--data)")
        raise trial._loaded
    splits = trial.splits
    if not isinstance(splits, Splits):
        raise Broken(f"load() returned {type(splits).__name__} and not harness.Splits")
    for name in ("forget", "retain"):
        if len(splits.get(name, ())) < 2:
            raise Broken(f"its split '{name}' has {len(splits.get(name, ()))} facts; at least 2 are needed")
    return ", ".join(f"{name} {len(facts)}" for name, facts in splits.items())


@BENCHMARKS.rule(
    "each fact has an id, a question and an answer",
    "Give each fact of a split an id of its own, and forget facts ids that no retain or instruct fact has.",
)
def _facts(trial: BenchmarkTrial) -> str:
    splits = trial.splits
    for name, facts in splits.items():
        if empty := [
            fact for fact in facts if not (fact.id and fact.question.strip() and fact.answer.strip())
        ]:
            raise Broken(f"{len(empty)} facts of '{name}' lack one, the first of them is {_shown(empty[0])}")
        twice = [known for known, times in Counter(fact.id for fact in facts).items() if times > 1]
        if twice:
            raise Broken(f"{len(twice)} ids of '{name}' belong to several facts, '{twice[0]}' among them")
    forget = {fact.id for fact in splits["forget"]}
    for name in ("retain", "instruct"):
        if both := sorted(forget & {fact.id for fact in splits.get(name, ())}):
            raise Broken(f"{len(both)} ids are in 'forget' and in '{name}', '{both[0]}' among them")
    return f"{sum(map(len, splits.values()))} facts"


def _shown(fact: Fact) -> str:
    return f"id {fact.id!r}, question {fact.question!r}, answer {fact.answer!r}"


@BENCHMARKS.rule(
    "loads the same facts each time",
    "Draw from a random.Random with a fixed seed, and sort what comes from sets and folders.",
)
def _repeats(trial: BenchmarkTrial) -> str:
    first = splits_fingerprint(trial.splits)
    with sandbox.Watch().watching(2):
        if splits_fingerprint(trial.make().load()) != first:
            raise Broken("a second load() gave other facts, with other global random numbers")
    return "whatever the global random numbers"


@BENCHMARKS.rule(
    "leaves global state alone", "Use a random.Random of your own instead of seeding or drawing globally."
)
def _global(trial: BenchmarkTrial) -> str:
    trial.benchmark  # noqa: B018  one that does not load is told once
    watch, made = sandbox.Watch(), trial.make()
    with watch.watching(1):
        list(made.measures(made.load()))
    if watch.touched:
        raise Broken(f"it changed {', '.join(watch.touched)}")
    return "untouched"


@BENCHMARKS.rule(
    "measures each fact once", "Yield one Measure for each split, metric and fact, of facts it was given."
)
def _once(trial: BenchmarkTrial) -> str:
    seen = Counter((m.split, m.metric, m.fact_id) for m in trial.measures)
    twice = [of for of, times in seen.items() if times > 1]
    if twice:
        raise Broken(f"{'.'.join(twice[0])} is there {seen[twice[0]]} times")
    known = {(name, fact.id) for name, facts in trial.splits.items() for fact in facts}
    if strange := [m for m in trial.measures if (m.split, m.fact_id) not in known]:
        raise Broken(f"it measures '{strange[0].fact_id}', which is no fact of '{strange[0].split}'")
    return f"{len(trial.measures)} measures"


@BENCHMARKS.rule(
    "measures what it says it looks at",
    "Yield `forget_metric` and all `curve_metrics` on the split forget, and `retain_metric` on its split.",
)
def _looks(trial: BenchmarkTrial) -> str:
    benchmark = trial.benchmark
    found = {(measure.split, measure.metric) for measure in trial.measures}
    if benchmark.forget_metric not in benchmark.curve_metrics:
        raise Broken(f"the forget metric '{benchmark.forget_metric}' is not among curve_metrics")
    wanted = [("forget", metric) for metric in benchmark.curve_metrics] + [tuple(benchmark.retain_metric)]
    if missing := [".".join(of) for of in wanted if of not in found]:
        raise Broken(f"nothing measures {', '.join(missing)}")
    unlike = {f.id for f in trial.splits["forget"]} - {
        m.fact_id for m in trial.measures if (m.split, m.metric) == ("forget", benchmark.forget_metric)
    }
    if unlike:
        raise Broken(
            f"{len(unlike)} forget facts have no {benchmark.forget_metric}, '{min(unlike)}' among them"
        )
    return ", ".join(".".join(of) for of in dict.fromkeys(wanted))


@BENCHMARKS.rule(
    "measures a part of the forget set alone",
    "In measures(), threshold() and chance(), take what there is in `splits`: attacks ask for a few facts.",
)
def _part(trial: BenchmarkTrial) -> str:
    part = Splits({"forget": trial.splits["forget"][:2]})
    measures = list(trial.benchmark.measures(part))
    ids = {fact.id for fact in part["forget"]}
    if strange := [m for m in measures if m.split != "forget" or m.fact_id not in ids]:
        raise Broken(f"given two forget facts, it measures {strange[0].split}.{strange[0].fact_id}")
    if lost := {m.fact_id for m in trial.measures if m.split == "forget" and m.fact_id in ids} - {
        m.fact_id for m in measures
    }:
        raise Broken(f"given two forget facts, it leaves {min(lost)} out")
    return f"{len(measures)} measures of 2 facts"


@BENCHMARKS.rule(
    "declares its metrics",
    "List every metric in `reports`: Reported(metric, splits, formula), with @formula above the function.",
)
def _reports(trial: BenchmarkTrial) -> str:
    if not trial.benchmark.reports:
        raise Skipped("`reports` is empty, so nothing says what its numbers are, nor in which range they lie")
    for reported in trial.benchmark.reports:
        described(reported.formula)
    undeclared = {f"{m.split}.{m.metric}" for m in trial.measures if trial.formula(m.split, m.metric) is None}
    if undeclared:
        raise Broken(f"{', '.join(sorted(undeclared))} is measured and not among `reports`")
    return f"{len(trial.benchmark.reports)} entries"


@BENCHMARKS.rule(
    "its numbers lie in their range",
    "Return a finite float in the range that @formula states, or leave out what cannot be computed.",
)
def _range(trial: BenchmarkTrial) -> str:
    before = splits_fingerprint(trial.splits)
    trial.judge((s.split, s.metric, s.value) for s in trial.own)
    trial.judge(("all", name, value) for name, value in trial.benchmark.aggregates(trial.own).items())
    if type(trial.benchmark).against_twin is not Benchmark.against_twin:
        compared = trial.benchmark.against_twin(trial.own, trial.samples(seed=1))
        trial.judge(("all", name, value) for name, value in compared.items())
    if splits_fingerprint(trial.splits) != before:
        raise Broken("the facts have changed while they were scored")
    return f"{len(trial.own)} samples of a random model"


@BENCHMARKS.rule(
    "states a threshold and a chance level",
    "Return a float in the range of the forget metric from threshold() and from chance().",
)
def _levels(trial: BenchmarkTrial) -> str:
    benchmark, told = trial.benchmark, []
    part = Splits({**trial.splits, "forget": trial.splits["forget"][:2]})
    found = trial.formula("forget", benchmark.forget_metric)
    for name, level in (("threshold", benchmark.threshold), ("chance", benchmark.chance)):
        for splits in (trial.splits, part):
            value = level(splits)
            if not (isinstance(value, float | int) and isfinite(value)):
                raise Broken(f"{name} is {value!r}")
            if found and not found.low <= value <= found.high:
                raise Broken(f"{name} is {value:g}, and {benchmark.forget_metric} lies in {found.range}")
        told.append(f"{name} {level(trial.splits):.3g}")
    return ", ".join(told)


@BENCHMARKS.rule(
    "scores in bfloat16 and with another family (GPT-NeoX)",
    "Write values as functions of the answers alone; they are the same for every model.",
)
def _models(trial: BenchmarkTrial) -> str:
    samples = trial.samples("gpt_neox", "bfloat16")
    trial.judge((s.split, s.metric, s.value) for s in samples)
    return f"{len(samples)} samples"


@BENCHMARKS.rule(
    "its twin never sees the forget set",
    "Train `original` on what is to be forgotten, and keep every forget fact out of `retrain`.",
)
def _twin(trial: BenchmarkTrial) -> str:
    training = trial.benchmark.training(trial.splits)
    if training is None:
        return "it trains no model: there is no twin"
    forget = trial.splits["forget"]
    taught, kept = ({(e.prompt.text, e.answer) for e in part} for part in _parts(training))
    if leaked := [fact for fact in forget if (fact.question, fact.answer) in kept]:
        raise Broken(f"{len(leaked)} forget facts are in Training.retrain, '{leaked[0].id}' among them")
    if untaught := [fact for fact in forget if (fact.question, fact.answer) not in taught]:
        raise Broken(
            f"{len(untaught)} forget facts are not in Training.original, '{untaught[0].id}' among them"
        )
    return f"{len(training.original)} examples for the original, {len(training.retrain)} for its twin"


def _parts(training: Training) -> Sequence[Any]:
    return training.original, training.retrain
