"""TOFU's truth ratio: false answers against the paraphrased right one."""

from __future__ import annotations

import math

import numpy as np

from ...core.formulas import GOODNESS, formula
from ...core.types import TokenScores
from .likelihood import mean_loss


@formula(
    "log r = loss(paraphrased) - mean_j loss(perturbed_j), losses per token, end token counted",
    -math.inf,
    math.inf,
    "as the twin's",
    "distributed as the twin's",
)
def log_truth_ratio(paraphrase: TokenScores, *perturbed: TokenScores) -> float:
    """The logarithm of :func:`truth_ratio`; below 0 the model prefers the truth.

    Forget quality is a Kolmogorov-Smirnov test between two models' r, and as that test looks at ranks only,
    log r serves it without overflow.
    """
    right = mean_loss(paraphrase)
    wrong = float(np.mean([mean_loss(scores) for scores in perturbed]))
    return 0.0 if right == wrong else right - wrong


def truth_ratio(paraphrase: TokenScores, *perturbed: TokenScores) -> float:
    """r = exp(-mean_j loss(perturbed_j)) / exp(-loss(paraphrase)), as TOFU's code has it.

    In [0, inf]: 0 for a model sure of the truth, 1 for one that cannot tell it from the perturbed answers.
    Published code adds 1e-10 to the denominator. That shows only in models damaged so far that the truth
    costs more than some 15 nats per token; their r is then near 0 there, and here what the equation says.
    """
    log_ratio = log_truth_ratio(paraphrase, *perturbed)
    return math.exp(log_ratio) if log_ratio < 700 else math.inf


@formula("min(r, 1/r), r = exp(-mean_j loss(perturbed_j)) / exp(-loss(paraphrased))", *GOODNESS)
def truth_ratio_forget(paraphrase: TokenScores, *perturbed: TokenScores) -> float:
    """For forget facts (OpenUnlearning's ``closer_to_1_better``); 1 means truth and falsehood look alike."""
    return math.exp(-abs(log_truth_ratio(paraphrase, *perturbed)))


@formula("max(0, 1 - r), r = exp(-mean_j loss(perturbed_j)) / exp(-loss(right))", *GOODNESS)
def truth_ratio_other(right: TokenScores, *perturbed: TokenScores) -> float:
    """For facts that stay (OpenUnlearning's ``true_better``); 1 means sure of the truth."""
    return -math.expm1(min(0.0, log_truth_ratio(right, *perturbed)))


@formula("c / (c + w), c = exp(-loss(paraphrased)), w = exp(-mean_j loss(perturbed_j))", 0, 1, "lower", "0")
def truth_ratio_knowledge(paraphrase: TokenScores, *perturbed: TokenScores) -> float:
    """1 / (1 + r): what Mem counts as knowledge; 1/2 for a model that cannot tell truth from falsehood."""
    return 1 / (1 + truth_ratio(paraphrase, *perturbed))
