"""Aggregates of several metrics: Faithfulness, Model Utility, Mem, Forget Quality."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ...core.formulas import GOODNESS, formula


@formula("harmonic mean of what should have stayed", *GOODNESS)
def harmonic_mean(values: Iterable[float]) -> float:
    """n / sum(1/v); 0 as soon as one value is 0. Raises ValueError for no value or a negative one."""
    numbers = [float(value) for value in values]
    if not numbers or min(numbers) < 0:
        raise ValueError(f"a harmonic mean needs at least one value and none below 0, got {numbers}")
    if min(numbers) == 0:
        return 0.0
    # Not statistics.harmonic_mean: it rounds elsewhere, and every fourth value has another last bit.
    return len(numbers) / math.fsum(1 / number for number in numbers)


def above_chance(accuracy: float, chance: float) -> float:
    """max(0, (accuracy - chance) / (1 - chance)). In [0, 1]: 0 for a guesser or worse, 1 if all is right."""
    return max(0.0, (accuracy - chance) / (1 - chance))


@formula("harmonic mean of 1-UA', 1-UA+', 1-MA_f', TA, SA, MA_t; x' = max(0, (x-1/3)/(2/3))", *GOODNESS)
def faithfulness(fell: Iterable[float], stayed: Iterable[float], chance: float) -> float:
    """Harmonic mean of what should have stayed, and of 1 - x' for each x that should have fallen. In [0, 1].

    x' is x :func:`above_chance`. Ours, of FaithUn's scores: the paper's aggregate is not known.
    """
    return harmonic_mean([*(1 - above_chance(x, chance) for x in fell), *stayed])


@formula("harmonic mean of probability, ROUGE-L and truth ratio on each of the splits that stay", *GOODNESS)
def model_utility(parts: Iterable[float]) -> float:
    """TOFU's Model Utility of nine numbers, three each on what is retained, real authors, world facts."""
    return harmonic_mean(parts)


@formula("harmonic mean of 1 - ES, 1 - EM, 1 - p(paraphrased), 1 - c/(c + w) of the forget set", *GOODNESS)
def mem(extraction: float, exact: float, paraphrase: float, knowledge: float) -> float:
    """Mem of OpenUnlearning and the beliefs paper (2510.19422): how little is memorised.

    Takes the means over the forget set of :func:`extraction_strength`, :func:`exact_memorisation`,
    :func:`probability` of the paraphrased answer, and :func:`truth_ratio_knowledge`.
    """
    return harmonic_mean(1 - value for value in (extraction, exact, paraphrase, knowledge))


@formula("p-value of a two-sample Kolmogorov-Smirnov test: r of the model against r of the twin", *GOODNESS)
def forget_quality(model: Sequence[float], twin: Sequence[float]) -> float:
    """TOFU's Forget Quality on the forget set; 1 for the twin itself, tiny where the two can be told apart.

    Takes r or log r of each fact: the test looks at ranks only. Exact up to 10,000 facts.
    """
    from scipy.stats import ks_2samp

    return float(ks_2samp(model, twin).pvalue)


@formula("log10 of forget_quality", -math.inf, 0, "higher", "0")
def log10_forget_quality(model: Sequence[float], twin: Sequence[float]) -> float:
    """The logarithm of :func:`forget_quality`, as published tables have it: p goes down to 1e-239."""
    p = forget_quality(model, twin)
    return math.log10(p) if p > 0 else -math.inf
