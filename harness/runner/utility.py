"""Utility: scores on lm-eval tasks, by lm-eval's own engine, of the unlearned model that is in memory anyway.

They equal those of lm-eval's command line on the same saved model: no chat template, each task's own few-shot
examples, lm-eval's own seeds.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from ..core.intervals import mean_interval
from ..core.names import GRADIENT, SCORE, UTILITY
from ..core.types import Metric, Outcome, Sample
from ..errors import HarnessError
from .tasks import PRIMARY, PRIMARY_TEXT, Tasks, silence

BATCH_SIZE = 32


def measure(
    model: Any, tokenizer: Any, loaded_tasks: Tasks, limit: int | None, batch_size: int | None
) -> Outcome:
    """Score the model on the tasks, in memory. Metrics ``<task>/<metric>[,<filter>]`` of split ``utility``.

    A value is lm-eval's own, with an interval over items where it is their mean; ``SCORE`` (split ``all``)
    is the aggregate. The global random states are left as they were.
    """
    import torch
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    silence()
    # It may give the tokenizer another padding token: it gets a copy.
    lm = HFLM(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=batch_size or BATCH_SIZE)
    with _random_states_kept():
        # What simple_evaluate() does first; it would then ask pip and git about this machine for seconds.
        random.seed(DEFAULT_RANDOM_SEED)
        np.random.seed(DEFAULT_OTHER_SEED)
        torch.manual_seed(DEFAULT_OTHER_SEED)
        for task in loaded_tasks["tasks"].values():
            task.set_config(key="num_fewshot", value=task.get_config("num_fewshot") or 0)
            task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
        dictionary = {part: loaded_tasks[part] for part in ("tasks", "groups")}
        results: Any = evaluate(lm, dictionary, limit=limit, bootstrap_iters=0, log_samples=True)
    return _outcome(results, loaded_tasks)


def _outcome(results: Mapping[str, Any], loaded_tasks: Tasks) -> Outcome:
    """lm-eval's results as metrics and samples."""
    count = {task: len({item["doc_id"] for item in items}) for task, items in results["samples"].items()}
    samples = [
        Sample(
            UTILITY, f"{task}/{_metric(name, item['filter'])}", f"{task}/{item['doc_id']}", float(item[name])
        )
        for task, items in results["samples"].items()
        for item in items
        for name in item["metrics"]
        if isinstance(item[name], Real)
    ]
    values: dict[str, list[float]] = {}
    for sample in samples:
        values.setdefault(sample.metric, []).append(sample.value)
    metrics: list[Metric] = []
    primary: dict[str, tuple[str, float]] = {}
    slopes: dict[tuple[str, str], dict[str, float]] = {}
    for name, scores in results["results"].items():
        group = loaded_tasks["groups"].get(name)
        members = [task.task_name for task in group.get_all_tasks()] if group else [name]
        numbers = {
            _metric(*label.split(",", 1)): float(value)
            for label, value in scores.items()
            if "," in label and isinstance(value, Real)
        }
        for metric, value in numbers.items():
            items = [one for task in members for one in values.get(f"{task}/{metric}", ())]
            mean = bool(items) and abs(float(np.mean(items)) - value) < 1e-9
            bounds = mean_interval(items) if mean else (None, None)
            n = sum(count[task] for task in members)
            if mean:
                shares = {f"{task}/{metric}": values.get(f"{task}/{metric}", ()) for task in members}
                slopes[name, metric] = {part: len(own) / len(items) for part, own in shares.items() if own}
            scored = Metric(UTILITY, f"{name}/{metric}", value, *bounds, n=n)
            metrics.append(
                _share(scored, f"lm-eval's {metric}") if metric.split(",")[0] in PRIMARY else scored
            )
        best = next((m for p in PRIMARY for m in numbers if m.split(",")[0] == p), None)
        if best is not None:
            primary[name] = best, numbers[best]
    asked = [name for names in loaded_tasks["asked"].values() for name in names]
    if not primary.keys() >= {*asked}:
        raise HarnessError(f"lm-eval gave no {', '.join(PRIMARY)} for a task it was asked for.")
    score = float(np.mean([primary[name][1] for name in asked]))
    of_all = Metric("all", SCORE, score, n=sum(count.values()))
    metrics.append(_share(of_all, f"mean over lm-eval tasks of {PRIMARY_TEXT}"))
    of_tasks = [slopes.get((name, primary[name][0])) for name in asked]
    return Outcome(metrics, samples, {GRADIENT: _gradient(of_tasks)} if all(of_tasks) else {})


def _gradient(of_tasks: Sequence[Mapping[str, float] | None]) -> dict[str, dict[str, dict[str, float]]]:
    """How the mean over the tasks asked for moves with each task's mean over items: :data:`GRADIENT`."""
    moved: dict[str, float] = {}
    for own in filter(None, of_tasks):
        for part, share in own.items():
            moved[part] = moved.get(part, 0.0) + share / len(of_tasks)
    return {SCORE: {UTILITY: moved}}


def _share(metric: Metric, definition: str) -> Metric:
    return replace(metric, low_bound=0.0, high_bound=1.0, definition=definition)


def _metric(name: str, filtered: str) -> str:
    return name if filtered == "none" else f"{name},{filtered}"


@contextmanager
def _random_states_kept() -> Iterator[None]:
    import torch

    python, legacy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
