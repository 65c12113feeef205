"""How likely a model finds an answer: loss, probability, and the choice among options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ...core.formulas import GOODNESS, KNOWLEDGE, formula
from ...core.types import TokenScores


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


@formula("1 if the gold option has strictly the highest log-likelihood, end token dropped", *KNOWLEDGE)
def option_correct(gold: TokenScores, *wrong: TokenScores) -> float:
    """1.0 iff the gold option is strictly more likely (summed log-likelihood) than each wrong one, else 0.0.

    FaithUn's accuracy; a tie counts as wrong. Ask with ``end=False``: the options stand in the prompt, and
    what follows an answer is not part of the choice.
    """
    return float(all(_total(gold) > _total(option) for option in wrong))


@formula("1 if a right answer to the plain question is strictly likelier than each false one", *KNOWLEDGE)
def cloze_correct(right: Iterable[TokenScores], wrong: Sequence[TokenScores]) -> float:
    """1.0 iff one of the right answers is strictly likelier than each wrong one (:func:`option_correct`).

    The cloze form: options do not stand in the prompt, as in lm-eval's tasks with whole answers as choices.
    Likelihoods are summed over tokens, as in its ``acc``, end token dropped. Not per token or byte, as in
    ``acc_norm``: a chat model that would rather begin a sentence pays for beginning with an answer, whichever
    it is, and in a mean a long answer would pay less of that.
    """
    return max(option_correct(answer, *wrong) for answer in right)


def _total(scores: TokenScores) -> float:
    return float(np.sum(np.asarray(scores.logprobs, dtype=np.float64)))


@formula("1 if the right answer has strictly the lowest loss per token, end token counted", *KNOWLEDGE)
def lowest_loss(gold: TokenScores, *wrong: TokenScores) -> float:
    """1.0 iff the gold answer has strictly the lowest loss per token, else 0.0.

    For answers of several words, where a sum would favour the short one. Chance is 1/(1 + wrong).
    """
    return float(all(mean_loss(gold) < mean_loss(answer) for answer in wrong))
