"""Membership inference: scores of single texts, their AUC on forget and holdout set, and PrivLeak.

A score is lower for a text that the model was trained on; the AUC says how well it separates the forget set
from the holdout; PrivLeak compares that with the retain twin. Definitions are those of OpenUnlearning
(2506.12618) and MUSE (2407.06460). All of it needs a holdout: texts like the forget set that no model saw.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

from ..core.formulas import formula
from ..core.types import TokenScores
from .metrics.likelihood import mean_loss

K = 0.4
"""Share of a text's tokens that min-k% and min-k%++ look at: MUSE's."""

LEAST_VARIANCE = 1e-6
"""Lower bound of the variance in min-k%++, for a model that is certain of the next token."""

MEMBER = ("as the twin's", "alike on forget and holdout")


@formula("loss per token of the answer, end token counted", 0, math.inf, *MEMBER)
def mia_loss(scores: TokenScores) -> float:
    """The plain loss (Yeom et al., 1709.01604). Ask with ``end=True``."""
    return mean_loss(scores)


@formula("loss per token, end token counted / bytes of the answer packed by zlib", 0, math.inf, *MEMBER)
def mia_zlib(scores: TokenScores, text: str) -> float:
    """The loss, less what any model finds easy in ``text`` (Carlini et al., 2012.07805)."""
    return mean_loss(scores) / len(zlib.compress(text.encode()))


@formula("- mean log p of the 40 % least likely tokens, end token dropped", 0, math.inf, *MEMBER)
def mia_min_k(scores: TokenScores) -> float:
    """Min-k% (Shi et al., 2310.16789). Ask with ``end=False``."""
    return _lowest(scores.logprobs)


@formula(
    "- mean z of the 40 % lowest z = (log p - E[log p]) / std[log p], E and std over the vocabulary under p, "
    "end token dropped",
    -math.inf,
    math.inf,
    *MEMBER,
)
def mia_min_k_plus_plus(scores: TokenScores) -> float:
    """Min-k%++ (Zhang et al., 2404.02936). Ask with ``end=False, spread=True``.

    Raises ValueError for scores that were asked without ``spread``.
    """
    if scores.means is None or scores.deviations is None:
        raise ValueError("min-k%++ needs the spread over the vocabulary: ask with spread=True")
    deviations = np.sqrt(np.maximum(np.square(scores.deviations), LEAST_VARIANCE))
    return _lowest((scores.logprobs - scores.means) / deviations)


def _lowest(values: np.ndarray) -> float:
    """Minus the mean of the lowest K of the values, of one at least."""
    if len(values) == 0:
        raise ValueError("no token was scored: the continuation is empty")
    count = max(1, int(K * len(values)))
    return -float(np.mean(np.sort(np.asarray(values, dtype=np.float64))[:count]))


@formula(
    "chance that a holdout text has a higher score than a forget text, a tie counting half",
    0,
    1,
    "as the twin's",
    "the twin's, about 0.5",
)
def auc(forget: Sequence[float], holdout: Sequence[float]) -> float:
    """Area under the ROC curve of a membership score, forget = 0 and holdout = 1.

    1 when every forget text looks like training text, 1/2 when it looks like the holdout, below that when it
    looks stranger than texts no model saw. Raises ValueError where one side is empty.
    """
    if not len(forget) or not len(holdout):
        raise ValueError("an AUC needs texts of both kinds")
    from scipy.stats import mannwhitneyu

    # U counts the pairs in which the holdout text has the higher score; the p-value is not used.
    u = mannwhitneyu(holdout, forget, method="asymptotic").statistic
    return float(u) / (len(forget) * len(holdout))


@formula(
    "100 ((1 - AUC) - (1 - AUC_twin)) / (1 - AUC_twin), AUC of min-k%", -100, math.inf, "nearer to 0", "0"
)
def privleak(model: float, twin: float) -> float:
    """PrivLeak (MUSE, 2407.06460): below 0 it is still known, above 0 it was pushed away too far.

    Takes two :func:`auc`. Raises ValueError where the twin's is 1: there is then no scale.
    """
    if twin == 1:
        raise ValueError("PrivLeak has no scale where the twin's AUC is 1")
    return 100 * (twin - model) / (1 - twin)
