"""RWKU's score, and every metric that is reported. (arXiv 2406.10890)"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness import KNOWLEDGE, Reported, TokenScores, formula, membership, metrics

SILENT = "NOANSWER"
"""What stands for an empty answer."""

PROBES = ("forget", "level2", "level3", "retain", "neighbor1", "neighbor2")
MEMBERSHIP = ("mia_forget", "mia_retain")


@formula(
    "different gold words in the longest common subsequence with the answer's first line / all of them",
    *KNOWLEDGE,
)
def recall(text: str, gold: str) -> float:
    """ROUGE-L recall as the package ``rouge`` 1.0.1 has it, which is not that of ``rouge_score``.

    Words are what stands between spaces, with case and punctuation but full stops, which end sentences. A
    word counts once, and in any of the subsequences that a sentence of the gold has with one of the answer.
    """
    said = _sentences(text.strip().partition("\n")[0].strip() or SILENT)
    told = _sentences(gold)
    words = {word for sentence in told for word in sentence}
    if not said or not words:
        return 0.0
    found = {word for sentence in told for other in said for word in _common(sentence, other)}
    return len(found) / len(words)


def _sentences(text: str) -> list[list[str]]:
    return [" ".join(part.split()).split(" ") for part in text.split(".") if part]


def _common(x: list[str], y: list[str]) -> list[str]:
    """A longest common subsequence; of several that one which the package finds from the end."""
    table = [[0] * (len(y) + 1) for _ in range(len(x) + 1)]
    for i, word in enumerate(x, 1):
        for j, other in enumerate(y, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if word == other else max(table[i - 1][j], table[i][j - 1])
    i, j, found = len(x), len(y), []
    while i and j:
        if x[i - 1] == y[j - 1]:
            found.append(x[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


@formula("loss per token of a text, its first token given, end token dropped", 0, math.inf, "higher", "")
def text_loss(scores: TokenScores) -> float:
    """The plain loss of running text; on ``mia_forget`` FM of the paper's table, on ``mia_retain`` RM."""
    return membership.mia_loss(scores)


LOW: Mapping[str, Any] = {"better": "lower", "ideal": "0"}

REPORTS = (
    *(Reported("recall", (split,), recall, **LOW) for split in ("forget", "level2", "level3")),
    *(
        Reported("recall", (split,), recall, better="higher", ideal="1")
        for split in ("retain", "neighbor1", "neighbor2")
    ),
    Reported("exact_match", ("forget",), metrics.exact_match, **LOW),
    Reported("probability", ("forget",), metrics.probability, **LOW),
    Reported("text_loss", ("mia_forget",), text_loss, better="higher", ideal="that of unknown texts"),
    Reported("text_loss", ("mia_retain",), text_loss, better="lower", ideal="the original's"),
    Reported("forget_all", ("all",), recall, **LOW),
    Reported("utility", ("all",), recall, better="higher", ideal="1"),
)
