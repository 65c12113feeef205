"""The formulas. One function each, from a model's answers to one number per fact, in float64.

A mean over facts is taken elsewhere; what is averaged is what these functions return. Sources are TOFU
(arXiv 2401.06121), FaithUn (2502.19207) and "Memorisation" as in the extraction-strength literature
(2202.07646). They take a model's word-by-word answer (`TokenScores`) or its text; those at the end add up
what others returned. `@formula` says what `harness show` prints: definition, range, direction, ideal value.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..core.formulas import GOODNESS, KNOWLEDGE, formula
from ..core.types import Sample, TokenScores

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


def mean_loss(scores: TokenScores) -> float:
    """Negative log-likelihood per token, in nats: -1/n sum_k log pi(token_k). In [0, inf]; lower is surer.

    Raises ValueError for an empty continuation.
    """
    if len(scores.logprobs) == 0:
        raise ValueError("no token was scored: the continuation is empty")
    return -float(np.mean(np.asarray(scores.logprobs, dtype=np.float64)))


@formula("exp(-NLL / labels), end token counted", *KNOWLEDGE)
def probability(scores: TokenScores) -> float:
    """The geometric mean of the token probabilities: TOFU's Probability.

    TOFU counts the end token as a label, so the request keeps ``end=True``.
    """
    return math.exp(-mean_loss(scores))


@formula("p_right / (p_right + sum p_wrong), each p = exp(-NLL / labels), end token counted", *GOODNESS)
def probability_normalised(right: TokenScores, *wrongs: TokenScores) -> float:
    """TOFU's Probability on real authors and world facts; a model that knows nothing gets 1/(1 + wrongs).

    0 when every answer is impossible. Published code adds 1e-10 to the denominator, which shows only where
    all answers cost more than some 15 nats per token.
    """
    losses = np.array([mean_loss(scores) for scores in (right, *wrongs)])
    least = losses.min()
    if math.isinf(least):
        return 0.0
    weights = np.exp(least - losses)
    return float(weights[0] / weights.sum())


@formula(
    "gold words in the longest common subsequence with the greedy answer / gold words, stemmed", *KNOWLEDGE
)
def rouge_l_recall(text: str, gold: str) -> float:
    """ROUGE-L recall by ``rouge_score`` with its stemmer, as in TOFU and in the Ssiuu paper."""
    return float(_rouge().score(target=gold, prediction=text)["rougeL"].recall)


@cache
def _rouge() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


@formula("1 if the greedy answer is the gold, apart from case, white space and a final stop", *KNOWLEDGE)
def exact_match(text: str, gold: str) -> float:
    """1.0 if both are the same text, apart from case, white space and one final full stop, else 0.0."""
    return float(_plain(text) == _plain(gold))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


@formula("1 if the gold option has strictly the highest log-likelihood, end token dropped", *KNOWLEDGE)
def option_correct(gold: TokenScores, *wrong: TokenScores) -> float:
    """1.0 iff the gold option is strictly more likely (summed log-likelihood) than each wrong one, else 0.0.

    FaithUn's accuracy; a tie counts as wrong. Ask with ``end=False``: the options stand in the prompt, and
    what follows an answer is not part of the choice.
    """
    return float(all(_total(gold) > _total(option) for option in wrong))


@formula("1 if the greedy answer names the gold option and no other", *KNOWLEDGE)
def option_generated(text: str, right: Iterable[str], wrong: Iterable[str]) -> float:
    """1.0 iff a generated answer names the right option and no other, else 0.0.

    FaithUn's accuracy as published, where the model is told to generate an option. How an answer is matched
    is not known; here :func:`bare` words are compared, of the answer's first line that is not blank. An
    option is named when its words stand there in a row, unless within a longer option that is named.
    ``right`` are all texts of the right option, ``wrong`` the other options, different when bare.
    """
    said = next(filter(None, map(bare, text.splitlines())), "")
    good, bad = set(map(bare, right)), set(map(bare, wrong))
    named = {option for option in good | bad if _within(option, said)}
    named = {o for o in named if not any(o != longer and _within(o, longer) for longer in named)}
    return float(bool(named) and named <= good)


def _within(words: str, text: str) -> bool:
    return f" {words} " in f" {text} "


def bare(text: str) -> str:
    """The text in NFKC, without case, punctuation and English articles, single spaces between its words.

    SQuAD's normalisation (arXiv 1606.05250). A text of nothing else keeps its articles, or its punctuation.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[^\w\s]", "", plain).split()
    return " ".join([word for word in words if word not in ("a", "an", "the")] or words or plain.split())


def above_chance(accuracy: float, chance: float) -> float:
    """max(0, (accuracy - chance) / (1 - chance)). In [0, 1]: 0 for a guesser or worse, 1 if all is right."""
    return max(0.0, (accuracy - chance) / (1 - chance))


def _total(scores: TokenScores) -> float:
    return float(np.sum(np.asarray(scores.logprobs, dtype=np.float64)))


@formula("1 if the right answer has strictly the lowest loss per token, end token counted", *KNOWLEDGE)
def lowest_loss(gold: TokenScores, *wrong: TokenScores) -> float:
    """1.0 iff the gold answer has strictly the lowest loss per token, else 0.0.

    For answers of several words, where a sum would favour the short one. Chance is 1/(1 + wrong).
    """
    return float(all(mean_loss(gold) < mean_loss(answer) for answer in wrong))


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


@formula("share of answer tokens that are the argmax under teacher forcing, end token dropped", *KNOWLEDGE)
def exact_memorisation(scores: TokenScores) -> float:
    """Exact memorisation (Tirumala et al., 2205.10770).

    The end token must not be among the scores: ask with ``end=False``.
    """
    return float(np.mean(_hits(scores)))


@formula(
    "1 - k/n, k the smallest start from which all n - k tokens are the argmax, end token dropped", *KNOWLEDGE
)
def extraction_strength(scores: TokenScores) -> float:
    """Extraction strength (Carlini et al., 2202.07646); 1 when the prompt alone draws out the whole answer.

    0 when the last token is missed, where published code gives 1/n. The end token must not be among the
    scores: ask with ``end=False``.
    """
    hits = _hits(scores)
    misses = np.flatnonzero(~hits)
    k = int(misses[-1]) + 1 if len(misses) else 0
    return 1.0 - k / len(hits)


def _hits(scores: TokenScores) -> np.ndarray:
    if len(scores.hits) == 0:
        raise ValueError("no token was scored: the continuation is empty")
    return np.asarray(scores.hits, dtype=bool)


@formula("harmonic mean of what should have stayed", *GOODNESS)
def harmonic_mean(values: Iterable[float]) -> float:
    """n / sum(1/v); 0 as soon as one value is 0. Raises ValueError for no value or a negative one."""
    numbers = [float(value) for value in values]
    if not numbers or min(numbers) < 0:
        raise ValueError(f"a harmonic mean needs at least one value and none below 0, got {numbers}")
    if min(numbers) == 0:
        return 0.0
    return len(numbers) / math.fsum(1 / number for number in numbers)


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
def forget_quality(own: Sequence[float], twin: Sequence[float]) -> float:
    """TOFU's Forget Quality on the forget set; 1 for the twin itself, tiny where the two can be told apart.

    Takes r or log r of each fact: the test looks at ranks only. Exact up to 10,000 facts.
    """
    from scipy.stats import ks_2samp

    return float(ks_2samp(own, twin).pvalue)


@formula("log10 of forget_quality", -math.inf, 0, "higher", "0")
def log10_forget_quality(own: Sequence[float], twin: Sequence[float]) -> float:
    """What the published tables compare, for p goes down to 1e-239."""
    p = forget_quality(own, twin)
    return math.log10(p) if p > 0 else -math.inf


def by_metric(samples: Iterable[Sample]) -> dict[tuple[str, str], list[float]]:
    """The values of each (split, metric), a fact each, in the order of the samples."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples:
        values[sample.split, sample.metric].append(sample.value)
    return dict(values)


def means(samples: Iterable[Sample]) -> dict[tuple[str, str], float]:
    """The mean over facts of each (split, metric)."""
    return {key: float(np.mean(values)) for key, values in by_metric(samples).items()}
