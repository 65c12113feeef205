"""Verbatim memorisation: exact memorisation and extraction strength (2205.10770, 2202.07646)."""

from __future__ import annotations

import numpy as np

from ...core.formulas import KNOWLEDGE, formula
from ...core.types import TokenScores


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
