"""The Python interface that the reference shows: pages, their headings, and what stands below each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import (
    Analysis,
    AnalysisConfig,
    AnalysisJob,
    Attack,
    AttackConfig,
    AttackJob,
    Batch,
    Beginning,
    Benchmark,
    BenchmarkConfig,
    Config,
    EpochsConfig,
    Example,
    Fact,
    Finding,
    FinetuneConfig,
    Generate,
    LogLikelihood,
    Measure,
    Method,
    MethodConfig,
    Modifier,
    ModifierConfig,
    Prompt,
    PromptTokenizer,
    Question,
    Reported,
    Results,
    Sample,
    Splits,
    Stage,
    Step,
    TokenBatch,
    TokenScores,
    Training,
    UnlearningJob,
    answer_tokens,
    attribution,
    fixed_random,
    lens,
    load,
    losses,
    membership,
    metrics,
    models,
    neurons,
    outputs,
    run,
    sharding,
)
from harness.core import formulas
from harness.core.benchmark import Plugin
from harness.core.config import TrainingConfig
from harness.core.jobs import Job
from harness.core.types import Cost, Metric, Outcome
from harness.scoring.metrics import aggregates, likelihood, memorisation, samples, text, truth_ratios
from harness.testing import check_analysis, check_attack, check_benchmark, check_method, check_modifier

METRICS = (likelihood, text, memorisation, truth_ratios, aggregates, samples)
"""The files of which ``harness.metrics`` is made."""

BASES = (Plugin, Method, Modifier, Attack, Benchmark, Analysis)
CONFIGS = (
    Config,
    MethodConfig,
    ModifierConfig,
    AttackConfig,
    BenchmarkConfig,
    AnalysisConfig,
    TrainingConfig,
    FinetuneConfig,
    EpochsConfig,
)
"""What plugins derive from; every public method of these must be documented."""

PYTHON: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "reference/python.md": {"Functions": (run, load), "What comes back": (Results,)},
    "reference/classes.md": {"The five nouns": BASES, "Settings they share": CONFIGS},
    "reference/engine.md": {
        "The jobs": (Job, UnlearningJob, Step, AttackJob, AnalysisJob),
        "Facts and splits": (Question, Fact, Splits, Training, Example),
        "What is asked and answered": (Prompt, LogLikelihood, Generate, Beginning, TokenScores),
        "Metrics": (Measure, Sample, Metric, Reported),
        "What an analysis found": (Finding,),
        "What a cell found": (Cost, Outcome),
        "Texts in batches": (TokenBatch, Batch, Stage, PromptTokenizer, answer_tokens),
        "Fixed random numbers": (fixed_random,),
        "Losses": (losses,),
        "Models": (models,),
        "Models over several processes": (sharding,),
        "Neurons": (neurons,),
        "What units do to answers": (outputs, attribution),
        "The logit lens": (lens,),
        "Formulas": (formulas, metrics, *METRICS, membership),
        "Checks": (check_method, check_modifier, check_attack, check_benchmark, check_analysis),
    },
}
"""A module stands for all its public functions, classes and constants."""

ELSEWHERE = ("Directory", "Field", "File", "Pretrained", "Register", "Request", "hookimpl", "validator")
"""Public names that pages explain in words of their own: those of settings, types and hooks."""
