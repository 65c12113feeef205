"""The Python interface that the reference shows: pages, their headings, and what stands below each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import formulas, losses
from harness.api import load, run
from harness.base import (
    Attack,
    Benchmark,
    Config,
    EpochsConfig,
    FinetuneConfig,
    Method,
    MethodConfig,
    Plugin,
    TrainingConfig,
)
from harness.results import Results
from harness.run import Attacking, Subject, Unlearning
from harness.testing import check_attack, check_benchmark, check_method
from harness.tokens import Batch, Texts
from harness.types import (
    Cost,
    Example,
    Fact,
    Generate,
    LogLikelihood,
    Measure,
    Metric,
    Outcome,
    Prompt,
    Question,
    Reported,
    Sample,
    Splits,
    TokenScores,
    Training,
)

BASES = (Plugin, Method, Attack, Benchmark)
CONFIGS = (Config, MethodConfig, TrainingConfig, FinetuneConfig, EpochsConfig)
"""What plugins derive from; every public method of these must be documented."""

PYTHON: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "reference/python.md": {"Functions": (run, load), "What comes back": (Results,)},
    "reference/classes.md": {"The three nouns": BASES, "Settings they share": CONFIGS},
    "reference/engine.md": {
        "The two jobs": (Unlearning, Attacking, Subject),
        "Facts and splits": (Question, Fact, Splits, Training, Example),
        "What is asked and answered": (Prompt, LogLikelihood, Generate, TokenScores),
        "Metrics": (Measure, Sample, Metric, Reported),
        "What a cell found": (Cost, Outcome),
        "Texts in batches": (Texts, Batch),
        "Losses": (losses,),
        "Formulas": (formulas,),
        "Checks": (check_method, check_attack, check_benchmark),
    },
}
"""A module stands for all its public functions, classes and constants."""
