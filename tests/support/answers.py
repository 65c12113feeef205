"""What a model that knows certain answers is worth on a benchmark."""

from pathlib import Path

import numpy as np

from harness.core.types import Generate, Sample, TokenScores
from harness.scoring import metrics


def loaded(benchmark, data: Path | None):
    benchmark.data = data
    return benchmark.load()


def knowing(request, known):
    """What a model would say that gives probability .9 to known answers, and .1 to all others."""
    question = request.prompt.text.split("Question: ")[-1].split("\n")[0]
    if isinstance(request, Generate):
        return known.get(question, "no idea")
    right = known.get(question) == request.continuation
    count = len(request.continuation.split()) + request.end
    scores = TokenScores(np.full(count, np.log(0.9 if right else 0.1)), np.full(count, right))
    if not request.spread:
        return scores
    return scores._replace(means=np.full(count, -1.0), deviations=np.full(count, 2.0))


def answered(benchmark, splits, known) -> list[Sample]:
    found = []
    for measure in benchmark.measures(splits):
        value = measure.value(*(knowing(request, known) for request in measure.requests))
        assert isinstance(value, float)
        found.append(Sample(measure.split, measure.metric, measure.fact_id, value))
    return found


def scores(benchmark, splits, known) -> dict[tuple[str, str], float]:
    return metrics.means(answered(benchmark, splits, known))


def everything(splits) -> dict[str, str]:
    known = {}
    for fact in (fact for facts in splits.values() for fact in facts):
        for question in (*fact.paraphrases, *fact.multi_hop, *fact.same_answer):
            known[question.text] = question.answer
        known[fact.question] = fact.answer
    return known
