"""The metrics: one function each, from a model's answers to one number per fact, in float64.

A mean over facts is taken elsewhere; what is averaged is what these functions return. Sources are TOFU
(arXiv 2401.06121), FaithUn (2502.19207) and the extraction-strength literature (2202.07646). They take a
model's scores for each token of an answer (`TokenScores`) or its text; the aggregates take what others
returned. `@formula` says what `harness show` prints: definition, range, direction, ideal value.
"""

from .aggregates import (
    above_chance,
    faithfulness,
    forget_quality,
    harmonic_mean,
    log10_forget_quality,
    mem,
    model_utility,
)
from .likelihood import (
    cloze_correct,
    lowest_loss,
    mean_loss,
    option_correct,
    probability,
    probability_normalised,
)
from .memorisation import exact_memorisation, extraction_strength
from .samples import by_metric, means, summarise
from .text import bare, exact_match, option_generated, rouge_l_recall
from .truth_ratios import (
    log_truth_ratio,
    truth_ratio,
    truth_ratio_forget,
    truth_ratio_knowledge,
    truth_ratio_other,
)

__all__ = [
    "above_chance",
    "bare",
    "by_metric",
    "cloze_correct",
    "exact_match",
    "exact_memorisation",
    "extraction_strength",
    "faithfulness",
    "forget_quality",
    "harmonic_mean",
    "log10_forget_quality",
    "log_truth_ratio",
    "lowest_loss",
    "mean_loss",
    "means",
    "mem",
    "model_utility",
    "option_correct",
    "option_generated",
    "probability",
    "probability_normalised",
    "rouge_l_recall",
    "summarise",
    "truth_ratio",
    "truth_ratio_forget",
    "truth_ratio_knowledge",
    "truth_ratio_other",
]
