"""Whether a generated text is the gold answer: exact match, ROUGE-L, the named option."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from ...core.formulas import KNOWLEDGE, formula

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


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
