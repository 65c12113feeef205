"""Rules for analyses, checked on two-layer models."""

from __future__ import annotations

from ..model import models
from . import trial
from .analysis_trial import AnalysisRun, AnalysisTrial
from .rules import rule
from .trial import check_repeats


@rule(
    "runs on a two-layer Llama",
    "See the error; give at least one harness.Finding, and leave out what is no finite number.",
)
def runs(trial: AnalysisTrial) -> str:
    if isinstance(trial.attempt, Exception):
        raise trial.attempt
    findings = trial.attempt[""].outcome.findings
    figures = dict.fromkeys(found.figure for found in findings)
    return f"{len(findings)} numbers of {', '.join(figures)}" if findings else "and changes weights"


def differ(one: AnalysisRun, other: AnalysisRun) -> str:
    """In what two runs differ; nothing where they do not."""
    same = repr((one.outcome.findings, one.notes)) == repr((other.outcome.findings, other.notes))
    return "" if same else "the same seed gave other numbers or notes, with other global random numbers"


@rule("repeats itself under a seed", "Draw from job.rng, job.random(NAME) or job.generator(NAME).")
def repeats(trial: AnalysisTrial) -> str:
    for run in trial.runs.values():
        check_repeats(run, lambda seed: trial.run(global_seed=seed), differ)
    return "the same numbers, whatever the global random numbers"


@rule(
    "leaves the weights as they were",
    "Take a clone of what you change; weights are switched by job.original(), unlearned() and attacked().",
)
def unchanged(trial: AnalysisTrial) -> str:
    trial.require(lambda run: run.changed)
    return "of every model"


@rule(
    "leaves a plain model for the next analysis",
    "Remove hooks and wrappers, and set requires_grad and eval() back.",
)
def plain(trial: AnalysisTrial) -> str:
    trial.require(lambda run: "; ".join(run.watch.leftovers))
    return "the same modules and names, no hooks, the same modes"


@rule(
    "says where its numbers belong",
    "Name a figure in each Finding, and count layers from 0.",
)
def belongs(trial: AnalysisTrial) -> str:
    def problem(run: AnalysisRun) -> str:
        layers = len(models.blocks(run.subject.model))
        for found in run.outcome.findings:
            if not found.figure:
                return "a number names no figure"
            if found.layer is not None and not 0 <= found.layer < layers:
                return f"a number of {found.figure} is of layer {found.layer}, and the model has {layers}"
        return ""

    trial.require(problem)
    return "to figures, and to layers that there are"


@rule(
    "looks at the model after an attack if it says so",
    "Leave out `attacked = True` where job.attacked() and job.weights('attacked') are not used.",
)
def looks(trial: AnalysisTrial) -> str:
    trial.require(
        lambda run: (
            trial.cls.attacked
            and not run.changed
            and "attacked" not in run.opened
            and "it says `attacked = True` and does not look at that model"
        )
    )
    return "it does" if trial.cls.attacked else "it does not ask for one"


RULES = (
    runs,
    repeats,
    trial.global_state,
    trial.data,
    unchanged,
    plain,
    belongs,
    looks,
    trial.bfloat16,
    trial.family,
    trial.notes,
)
