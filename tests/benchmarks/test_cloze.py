"""Choices in cloze form: what is asked, what counts, and every score against a naive implementation."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

import pytest
import torch
from harness.benchmarks.countries import Countries
from harness.benchmarks.faithun import FaithUn, FaithUnMini

from harness.core.types import Fact, LogLikelihood, Prompt, Question, Splits
from harness.engine.evaluation import evaluate
from harness.model.embedded import word_tokenizer
from harness.model.tokens import PromptTokenizer

POOL = Countries().pool()


def questions(fact: Fact) -> list[Question]:
    """Every question that a fact is asked with."""
    base = Question(fact.question, fact.answer, fact.options, fact.aliases)
    return [base, *fact.paraphrases, *fact.multi_hop, *fact.same_answer]


def test_the_plain_question_is_asked_and_no_option_stands_in_it():
    fact = Fact("f", "Who?", "Ada", ("Bo", "Cleo"), aliases=("Countess",))
    [measure] = [m for m in Countries().measures(Splits({"retain": (fact,)})) if m.metric == "cloze_accuracy"]
    assert measure.requests == tuple(
        LogLikelihood(Prompt("Who?"), text, end=False) for text in ("Ada", "Countess", "Bo", "Cleo")
    )


@pytest.mark.parametrize("kind", [FaithUn, FaithUnMini, Countries])
def test_every_benchmark_of_this_schema_has_the_cloze_form(kind):
    chosen = kind(kind.Config(scoring="cloze"))
    assert chosen.forget_metric == "cloze_accuracy"
    assert chosen.retain_metric == ("retain", "cloze_accuracy")
    assert chosen.curve_metrics == ("cloze_accuracy", "exact_match")
    assert chosen.chance(Splits({})) == pytest.approx(1 / 3)


def naive(model, tokenizer, facts) -> dict[str, float]:
    """Shares that are right, in float64: each whole text on its own, summed over the option's tokens."""
    model = model.double()

    @torch.no_grad()
    def total(text: str, option: str) -> float:
        head, tail = (
            tokenizer(t, add_special_tokens=False).input_ids for t in (f"Question: {text}\nAnswer:", option)
        )
        scores = torch.log_softmax(model(torch.tensor([head + tail])).logits[0], dim=-1)
        return sum(float(scores[len(head) - 1 + i, token]) for i, token in enumerate(tail))

    def right(question: Question, shown: tuple[str, ...]) -> float:
        best = max(total(question.text, text) for text in (question.answer, *question.aliases))
        return float(best > max(total(question.text, option) for option in shown))

    found = defaultdict(list)
    for fact in facts:
        base = Question(fact.question, fact.answer, fact.options, fact.aliases)
        pairs = [base.options[i : i + 2] for i in range(0, len(base.options), 2)]
        found["cloze_accuracy"].append(fmean(right(base, pair) for pair in pairs))
        for kind in ("paraphrase", "multi_hop", "same_answer"):
            asked = getattr(fact, "paraphrases" if kind == "paraphrase" else kind)
            if asked:
                found[f"cloze_accuracy_{kind}"].append(fmean(right(q, q.options) for q in asked))
    return {metric: fmean(values) for metric, values in found.items()}


def test_every_score_equals_a_naive_implementation(tiny, make_subject):
    chosen = [fact for fact in POOL if len(fact.answer.split()) > 1][:2]
    chosen += [fact for fact in POOL if fact.aliases and fact.same_answer][:5]
    part = Splits({"forget": tuple(chosen), "retain": tuple(chosen[:1]), "test": tuple(chosen[:1])})
    words = [
        f"{q.text} {q.answer} {' '.join((*q.options, *q.aliases))}" for f in chosen for q in questions(f)
    ]
    tokenizer = word_tokenizer(("Question: Answer:", *words))
    model = tiny(vocab_size=len(tokenizer), initializer_range=0.3)
    tokens = PromptTokenizer(tokenizer)
    outcome = evaluate(make_subject(Countries(), model, tokens=tokens, splits=part))
    found = {m.metric: m.value for m in outcome.metrics if m.split == "forget"}
    expected = naive(model, tokenizer, chosen)
    assert len(expected) == 4
    # A model that is always right or always wrong would hide a mistake.
    assert all(0 < value < 1 for value in expected.values())
    assert {metric: found[metric] for metric in expected} == pytest.approx(expected)
