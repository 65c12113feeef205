"""A ready pair within a run: its scores held against each other, and what its rows say of it."""

from __future__ import annotations

from typing import Any

from ..store.scores import read_samples
from .context import WorkerContext
from .plan import Scores
from .record import display_name


def examined(scores: Scores, context: WorkerContext) -> str | None:
    """What is odd about a ready pair by its scores on a benchmark, as a sentence.

    Raises ModelError where it is none. Where a model could not be scored the cells that need that say so.
    """
    original, retrain = (read_samples(of.path(context.cache)) for of in (scores.original, scores.retrain))
    if context.pair is None or original is None or retrain is None:
        return None
    benchmark = scores.original.benchmark.name
    return context.pair.check_scores(benchmark, scores.forget, scores.retain, original, retrain)


def notes(scores: Scores, context: WorkerContext) -> dict[str, Any]:
    """What the row of an evaluation says of a ready pair: the other model, and what is odd."""
    if context.pair is None or context.pair.retrain is None:
        return {}
    said = {"retrain_model": display_name(context.pair.retrain), "retrain_target": scores.retrain.target}
    odd = examined(scores, context)
    return said | ({"pair": odd} if odd else {})
