"""LUME's scores, and every metric that is reported. (arXiv 2502.15097)"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from harness import GOODNESS, KNOWLEDGE, Reported, TokenScores, formula, membership, metrics

from .files import KINDS, MEMBER, NONMEMBER, TASKS

TERMS = tuple(
    (split, f"{score}_{task}") for split in ("forget", "retain") for task in TASKS for score in KINDS.values()
)
"""The twelve means that the task aggregate is made of."""

LOW: Mapping[str, Any] = {"better": "lower", "ideal": "0"}


@formula("1 if the greedy answer is the gold, apart from case and white space around it", *KNOWLEDGE)
def knowledge(text: str, gold: str) -> float:
    """1.0 if both are the same text in lower case, without what surrounds them, else 0.0."""
    return float(text.strip().lower() == gold.strip().lower())


@formula(
    "harmonic mean of 12 means: regurgitation and knowledge of each task, on forget as 1 - mean", *GOODNESS
)
def task_aggregate(forget: Iterable[float], retain: Iterable[float]) -> float:
    """0 as soon as a forgotten task is known in full, or a retained one not at all."""
    return metrics.harmonic_mean([*(1 - value for value in forget), *retain])


@formula(
    "loss per token of a document, its first token given, end token dropped",
    0,
    math.inf,
    "alike on member and nonmember",
    "as the twin's",
)
def document_loss(scores: TokenScores) -> float:
    """The plain loss (Yeom et al., 1709.01604) of running text."""
    return membership.mia_loss(scores)


@formula("1 - 2 |AUC - 1/2| of the loss, member against nonmember", *GOODNESS)
def mia_score(auc: float) -> float:
    """1 where the loss cannot tell documents of the forget set from others, 0 where it always can."""
    return 1 - 2 * abs(auc - 0.5)


REPORTS = (
    Reported("rouge_l", ("forget", "retain"), metrics.rouge_l_recall),
    Reported("exact_match", ("forget", "retain"), metrics.exact_match),
    Reported("probability", ("forget", "retain"), metrics.probability),
    Reported("extraction_strength", ("forget",), metrics.extraction_strength, **LOW),
    *(
        Reported(
            f"{score}_{task}",
            ("forget", "retain"),
            knowledge if score == KINDS["qa"] else metrics.rouge_l_recall,
        )
        for task in TASKS
        for score in KINDS.values()
    ),
    Reported("document_loss", (MEMBER, NONMEMBER), document_loss),
    Reported("task_aggregate", ("all",), task_aggregate),
    Reported("utility", ("all",), metrics.harmonic_mean),
    Reported("mia_auc", ("all",), membership.auc, (MEMBER, NONMEMBER)),
    Reported("mia_score", ("all",), mia_score, (MEMBER, NONMEMBER)),
)
