"""MUSE's scores, and every metric that is reported. (arXiv 2407.06460)"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from harness import KNOWLEDGE, Reported, formula, membership, metrics

REFERENCE = {"news": 0.4772, "books": 0.5393}
"""Published for the authors' retrained models: the chance that by min-40 % a forget text looks stranger than
one of the holdout, which is 1 - :func:`membership.auc`."""

NEXT = re.compile(r"\n\n|\nQuestion|Question:")
"""Where an answer ends: the model goes on with another question."""


@formula("F-measure of the longest common subsequence, in words that are not stemmed", *KNOWLEDGE)
def rouge_l_f(text: str, gold: str) -> float:
    """ROUGE-L F1 by ``rouge_score`` without its stemmer. MUSE prints it times 100."""
    return float(_rouge().score(target=gold, prediction=text)["rougeL"].fmeasure)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)


@formula("rouge_l_f of the greedy answer to the question behind ten others, up to the next one", *KNOWLEDGE)
def knowmem(text: str, gold: str) -> float:
    """KnowMem: criteria C2 on the forget set and C4 on the retain set."""
    return rouge_l_f(NEXT.split(text)[0], gold)


@formula("rouge_l_f of 128 greedy tokens behind an excerpt, against its next 128", *KNOWLEDGE)
def verbmem(text: str, gold: str) -> float:
    """VerbMem: criterion C1."""
    return rouge_l_f(text, gold)


@formula(
    "privleak against the AUC that the authors' retrained model has, not this target's twin",
    -100,
    math.inf,
    "nearer to 0",
    "0",
)
def privleak_published(auc: float, corpus: str) -> float:
    """PrivLeak with the published reference, for the published models; ``auc`` is :func:`membership.auc`."""
    return membership.privleak(auc, 1 - REFERENCE[corpus])


PRIVATE = ("privleak_forget", "privleak_holdout")

REPORTS = (
    Reported("rouge_l", ("forget",), metrics.rouge_l_recall),
    Reported("exact_match", ("forget",), metrics.exact_match, better="lower", ideal="0"),
    Reported("probability", ("forget",), metrics.probability, better="lower", ideal="0"),
    Reported("extraction_strength", ("forget",), metrics.extraction_strength, better="lower", ideal="0"),
    Reported("verbmem", ("verbmem",), verbmem, better="lower", ideal="the twin's"),
    Reported("knowmem", ("forget_qa",), knowmem, better="lower", ideal="the twin's"),
    Reported("knowmem", ("retain_qa",), knowmem, better="higher", ideal="1"),
    Reported("mia_min_k", PRIVATE, membership.mia_min_k),
    Reported("auc_min_k", ("all",), membership.auc),
    Reported("privleak", ("all",), membership.privleak, ("twin",)),
    Reported("privleak_published", ("all",), privleak_published),
    Reported("utility", ("all",), knowmem, better="higher", ideal="1"),
)
