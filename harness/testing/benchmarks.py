"""Rules for benchmarks: their facts, their measures, and the samples of two-layer models."""

from __future__ import annotations

from collections import Counter
from math import isfinite

from ..core.base import Method
from ..core.benchmark import Benchmark
from ..core.formulas import described
from ..core.keys import splits_fingerprint
from ..core.names import CONTROLS
from ..core.types import Fact, Splits
from ..errors import HarnessError
from ..plugins.discovery import one_line
from ..plugins.registry import Registry
from .benchmark_trial import BenchmarkTrial
from .observe import Watch
from .rules import Skipped, Violation, rule


@rule("loads its facts", "See the error; load() returns Splits with the facts of `forget` and `retain`.")
def loads(trial: BenchmarkTrial) -> str:
    if isinstance(trial.attempt, Exception):
        if trial.cls.needs_data and trial.data is None:
            raise Skipped("its facts come from files: give their directory (--data)")
        raise trial.attempt
    splits = trial.splits
    if not isinstance(splits, Splits):
        raise Violation(f"load() returned {type(splits).__name__} and not harness.Splits")
    for name in ("forget", "retain"):
        if len(splits.get(name, ())) < 2:
            raise Violation(
                f"its split '{name}' has {len(splits.get(name, ()))} facts; at least 2 are needed"
            )
    return ", ".join(f"{name} {len(facts)}" for name, facts in splits.items())


@rule(
    "each fact has an id, a question and an answer",
    "Give each fact of a split an id of its own, and forget facts ids that no retain or instruct fact has.",
)
def complete_facts(trial: BenchmarkTrial) -> str:
    splits = trial.splits
    for name, facts in splits.items():
        if empty := [
            fact for fact in facts if not (fact.id and fact.question.strip() and fact.answer.strip())
        ]:
            raise Violation(
                f"{len(empty)} facts of '{name}' lack one, the first of them is {fields(empty[0])}"
            )
        twice = [known for known, count in Counter(fact.id for fact in facts).items() if count > 1]
        if twice:
            raise Violation(f"{len(twice)} ids of '{name}' belong to several facts, '{twice[0]}' among them")
    forget = {fact.id for fact in splits["forget"]}
    for name in ("retain", "instruct"):
        if both := sorted(forget & {fact.id for fact in splits.get(name, ())}):
            raise Violation(f"{len(both)} ids are in 'forget' and in '{name}', '{both[0]}' among them")
    return f"{sum(map(len, splits.values()))} facts"


def fields(fact: Fact) -> str:
    return f"id {fact.id!r}, question {fact.question!r}, answer {fact.answer!r}"


@rule(
    "loads the same facts each time",
    "Draw from a random.Random with a fixed seed, and sort what comes from sets and folders.",
)
def repeats(trial: BenchmarkTrial) -> str:
    first = splits_fingerprint(trial.splits)
    with Watch().watching(2):
        if splits_fingerprint(trial.make().load()) != first:
            raise Violation("a second load() gave other facts, with other global random numbers")
    return "whatever the global random numbers"


@rule("leaves global state alone", "Use a random.Random of your own instead of seeding or drawing globally.")
def global_state(trial: BenchmarkTrial) -> str:
    assert trial.benchmark
    watch, benchmark = Watch(), trial.make()
    with watch.watching(1):
        list(benchmark.measures(benchmark.load()))
    if watch.touched:
        raise Violation(f"it changed {', '.join(watch.touched)}")
    return "untouched"


@rule("measures each fact once", "Yield one Measure for each split, metric and fact, of facts it was given.")
def measures_once(trial: BenchmarkTrial) -> str:
    counts = Counter((m.split, m.metric, m.fact_id) for m in trial.measures)
    if twice := [of for of, count in counts.items() if count > 1]:
        raise Violation(f"{'.'.join(twice[0])} is there {counts[twice[0]]} times")
    known = {(name, fact.id) for name, facts in trial.splits.items() for fact in facts}
    if strange := [m for m in trial.measures if (m.split, m.fact_id) not in known]:
        raise Violation(f"it measures '{strange[0].fact_id}', which is no fact of '{strange[0].split}'")
    return f"{len(trial.measures)} measures"


@rule(
    "measures what it says it looks at",
    "Yield `forget_metric` and all `curve_metrics` on the split forget, and `retain_metric` on its split.",
)
def measures_its_metrics(trial: BenchmarkTrial) -> str:
    benchmark = trial.benchmark
    measured = {(measure.split, measure.metric) for measure in trial.measures}
    if benchmark.forget_metric not in benchmark.curve_metrics:
        raise Violation(f"the forget metric '{benchmark.forget_metric}' is not among curve_metrics")
    required = [("forget", metric) for metric in benchmark.curve_metrics] + [tuple(benchmark.retain_metric)]
    if missing := [".".join(of) for of in required if of not in measured]:
        raise Violation(f"nothing measures {', '.join(missing)}")
    unscored = {f.id for f in trial.splits["forget"]} - {
        m.fact_id for m in trial.measures if (m.split, m.metric) == ("forget", benchmark.forget_metric)
    }
    if unscored:
        raise Violation(
            f"{len(unscored)} forget facts have no {benchmark.forget_metric}, '{min(unscored)}' among them"
        )
    return ", ".join(".".join(of) for of in dict.fromkeys(required))


@rule(
    "measures a part of the forget set alone",
    "In measures(), threshold() and chance(), take what there is in `splits`: attacks ask for a few facts.",
)
def measures_a_part(trial: BenchmarkTrial) -> str:
    part = Splits({"forget": trial.splits["forget"][:2]})
    measures = list(trial.benchmark.measures(part))
    ids = {fact.id for fact in part["forget"]}
    if strange := [m for m in measures if m.split != "forget" or m.fact_id not in ids]:
        raise Violation(f"given two forget facts, it measures {strange[0].split}.{strange[0].fact_id}")
    if lost := {m.fact_id for m in trial.measures if m.split == "forget" and m.fact_id in ids} - {
        m.fact_id for m in measures
    }:
        raise Violation(f"given two forget facts, it leaves {min(lost)} out")
    return f"{len(measures)} measures of 2 facts"


@rule(
    "declares its metrics",
    "List every metric in `reports`: Reported(metric, splits, formula), with @formula above the function.",
)
def reports(trial: BenchmarkTrial) -> str:
    if not trial.benchmark.reports:
        raise Skipped("`reports` is empty, so nothing says what its numbers are, nor in which range they lie")
    for reported in trial.benchmark.reports:
        described(reported.formula)
    undeclared = {f"{m.split}.{m.metric}" for m in trial.measures if trial.formula(m.split, m.metric) is None}
    if undeclared:
        raise Violation(f"{', '.join(sorted(undeclared))} is measured and not among `reports`")
    return f"{len(trial.benchmark.reports)} entries"


@rule(
    "its numbers lie in their range",
    "Return a finite float in the range that @formula states, or leave out what cannot be computed.",
)
def ranges(trial: BenchmarkTrial) -> str:
    before = splits_fingerprint(trial.splits)
    trial.check_range((s.split, s.metric, s.value) for s in trial.samples)
    trial.check_range(
        ("all", name, value) for name, value in trial.benchmark.aggregates(trial.samples).items()
    )
    if type(trial.benchmark).against_twin is not Benchmark.against_twin:
        compared = trial.benchmark.against_twin(trial.samples, trial.samples_of(seed=1))
        trial.check_range(("all", name, value) for name, value in compared.items())
    if splits_fingerprint(trial.splits) != before:
        raise Violation("the facts have changed while they were scored")
    return f"{len(trial.samples)} samples of a random model"


@rule(
    "states a threshold and a chance level",
    "Return a float in the range of the forget metric from chance(), and from threshold() that or None.",
)
def levels(trial: BenchmarkTrial) -> str:
    benchmark, levels = trial.benchmark, []
    part = Splits({**trial.splits, "forget": trial.splits["forget"][:2]})
    formula = trial.formula("forget", benchmark.forget_metric)
    for name, level in (("threshold", benchmark.threshold), ("chance", benchmark.chance)):
        for splits in (trial.splits, part):
            value = level(splits)
            if value is None and name == "threshold":
                continue
            if not (isinstance(value, float | int) and isfinite(value)):
                raise Violation(f"{name} is {value!r}")
            if formula and not formula.low <= value <= formula.high:
                raise Violation(f"{name} is {value:g}, and {benchmark.forget_metric} lies in {formula.range}")
        value = level(trial.splits)
        levels.append(f"{name} {'of the twin' if value is None else format(value, '.3g')}")
    return ", ".join(levels)


@rule(
    "scores in bfloat16 and with another family (GPT-NeoX)",
    "Write values as functions of the answers alone; they are the same for every model.",
)
def models(trial: BenchmarkTrial) -> str:
    samples = trial.samples_of("gpt_neox", "bfloat16")
    trial.check_range((s.split, s.metric, s.value) for s in samples)
    return f"{len(samples)} samples"


@rule(
    "its twin never sees the forget set",
    "Train `original` on what is to be forgotten, and keep every forget fact out of `retrain`.",
)
def twin(trial: BenchmarkTrial) -> str:
    training = trial.benchmark.training(trial.splits)
    if training is None:
        return "it trains no model: there is no twin"
    forget = trial.splits["forget"]
    original, retrain = (
        {(e.prompt.text, e.answer) for e in part} for part in (training.original, training.retrain)
    )

    def taught(fact: Fact, part: set[tuple[str, str]]) -> bool:
        return (fact.question, fact.answer) in part or bool(fact.passage and ("", fact.passage) in part)

    if leaked := [fact for fact in forget if taught(fact, retrain)]:
        raise Violation(f"{len(leaked)} forget facts are in Training.retrain, '{leaked[0].id}' among them")
    if missing := [fact for fact in forget if not taught(fact, original)]:
        raise Violation(
            f"{len(missing)} forget facts are not in Training.original, '{missing[0].id}' among them"
        )
    return f"{len(training.original)} examples for the original, {len(training.retrain)} for its twin"


@rule(
    "every control runs on it",
    "Measure `forget_metric` on any part of the forget set: `refusal` trains until hardly one is answered.",
)
def controls(trial: BenchmarkTrial) -> str:
    benchmark, registry, names = trial.benchmark, Registry(), []
    for name in CONTROLS:
        method = registry.method(name).load()
        assert issubclass(method, Method)
        if method.needs_twin and benchmark.training(trial.splits) is None:
            continue
        try:
            trial.unlearn(method)
        except Exception as error:
            message = str(error) if isinstance(error, HarnessError) else one_line(error)
            raise Violation(f"'{name}' raised {message}") from error
        names.append(name)
    return ", ".join(names)


RULES = (
    loads,
    complete_facts,
    repeats,
    global_state,
    measures_once,
    measures_its_metrics,
    measures_a_part,
    reports,
    ranges,
    levels,
    models,
    twin,
    controls,
)
