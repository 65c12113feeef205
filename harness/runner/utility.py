"""Utility: lm-eval tasks, through lm-eval's own engine, on the unlearned model that is in memory anyway.

A task is named as in lm-eval; it comes from a directory of the user's YAML files, from the benchmark
(``Benchmark.utility_tasks``) or from lm-eval, in this order. The score equals that of lm-eval's command line
on the same saved model: no chat template, each task's own few-shot examples, lm-eval's own seeds.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import json
import logging
import random
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from tqdm import tqdm

from ..core.intervals import mean_interval
from ..core.keys import files_fingerprint, key
from ..core.names import SCORE, UTILITY
from ..core.types import Metric, Outcome, Sample
from ..errors import ConfigError, DataError, HarnessError, PluginError

PRIMARY = ("acc_norm", "acc", "exact_match")
PRIMARY_TEXT = f"{', '.join(PRIMARY[:-1])} or {PRIMARY[-1]}"
"""Metrics in [0, 1], of which the first that a task has counts."""

BATCH_SIZE = 32
PLACES = ("dataset_path", "dataset_name", "dataset_kwargs", "custom_dataset", "metadata")
"""What a task's configuration says about where its items lie: the items themselves count instead."""

Tasks = dict[str, Any]
"""``tasks`` and ``groups`` by name, as lm-eval takes them, and ``asked``: by name, what it stands for."""


class Resolved(NamedTuple):
    """Tasks that were found: enough to know whether their scores would be the same."""

    engine: str
    """Distribution and version."""
    fingerprint: str
    """Of all that decides the scores."""
    config: str
    """Names, limit, and each task's version, few-shot examples and items, as JSON."""


@dataclass(frozen=True, slots=True)
class Utility:
    """What to measure. ``tasks`` None takes all of ``directory``, or those the benchmark brings along.

    ``limit`` is lm-eval's: the first so many items of each task, and of each subject of a group like mmlu.
    """

    tasks: tuple[str, ...] | None = None
    limit: int | None = None
    directory: Path | None = None

    def __post_init__(self) -> None:
        if self.directory is not None and not self.directory.is_dir():
            raise ConfigError(f"--utility-tasks {self.directory}: there is no such directory.")

    def resolve(self, builtin: str) -> Resolved | None:
        """The tasks, with what decides their scores; ``builtin`` is a benchmark's ``utility_tasks``.

        None when there is nothing to measure. Loads the items of every task, so what cannot be had is a
        HarnessError now and not after hours of work.
        """
        if self.tasks == () or (self.tasks is None and self.directory is None and not builtin):
            return None
        loaded_tasks = read(self.tasks, self.directory, builtin)
        described = {
            name: {
                "version": task.VERSION,
                "num_fewshot": task.get_config("num_fewshot") or 0,
                "items": min(len(task.eval_docs), self.limit or len(task.eval_docs)),
            }
            for name, task in loaded_tasks["tasks"].items()
        }
        config = {"asked": list(loaded_tasks["asked"]), "limit": self.limit, "tasks": described}
        here = Path(__file__)
        code = [here, *self.directory.rglob("*.py")] if self.directory else [here]
        content = [_content(task, self.limit) for task in loaded_tasks["tasks"].values()]
        content += [
            f"{group.child_names} {group.aggregate_metric_list}" for group in loaded_tasks["groups"].values()
        ]
        fingerprint = key([[_without_addresses(text) for text in content], files_fingerprint(code)])
        engine = f"lm_eval {metadata.version('lm_eval')}"
        return Resolved(engine, fingerprint, json.dumps(config, sort_keys=True))


@lru_cache(maxsize=4)
def load(names: tuple[str, ...], directory: Path | None, builtin: str, fingerprint: str) -> Tasks:
    """As :func:`read`, once per process for the same ``fingerprint``."""
    return read(names, directory, builtin)


def read(names: tuple[str, ...] | None, directory: Path | None, builtin: str) -> Tasks:
    """The tasks with their items.

    Raises HarnessError for an unknown name, for items that cannot be read or fetched, and for tasks that
    have no score in [0, 1] or need more than a language model.
    """
    from lm_eval.tasks import TaskManager

    _silence()
    if directory:
        _check_yaml(directory)
    manager = TaskManager(include_path=directory and str(directory), include_defaults=False)
    configs = (
        {name: c for name, c in _configs(builtin).items() if name not in manager.all_tasks} if builtin else {}
    )
    if names is None:
        names = tuple(manager.all_subtasks if directory else configs)
    if not names:
        raise ConfigError(f"--utility-tasks {directory}: no YAML file in it defines a task.")
    if not {*names} <= {*manager.all_tasks, *configs}:
        manager = TaskManager(include_path=directory and str(directory))  # reads 13,000 files: some seconds
    loaded_tasks: Tasks = {"tasks": {}, "groups": {}, "asked": {}}
    for name in names:
        if name not in manager.all_tasks and name not in configs:
            raise ConfigError(_unknown(name, [*manager.all_tasks, *configs]))
        try:
            loaded = manager.load([configs.get(name, name)])
        except Exception as error:  # whatever the reader of the data, or the task's own code, raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise HarnessError(
                f"The lm-eval task '{name}' cannot be loaded: {reason} ({type(error).__name__}). Its items "
                "must be in a file or in the cache of Hugging Face, or the hub within reach."
            ) from error
        for part in ("tasks", "groups"):
            loaded_tasks[part] |= loaded.get(part, {})
        group = loaded.get("groups", {}).get(name)
        loaded_tasks["asked"][name] = [name] if group and group.has_aggregation else list(loaded["tasks"])
    for name, task in loaded_tasks["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
            raise HarnessError(f"The lm-eval task '{name}' runs generated code or needs more than text.")
        if not {*PRIMARY} & {*task.aggregation()}:
            raise HarnessError(
                f"The lm-eval task '{name}' has none of the metrics {', '.join(PRIMARY)}, "
                "of which the utility is the mean: leave it out."
            )
    return loaded_tasks


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

    _silence()
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
        Sample(UTILITY, f"{task}/{_metric(name, item['filter'])}", str(item["doc_id"]), float(item[name]))
        for task, items in results["samples"].items()
        for item in items
        for name in item["metrics"]
        if isinstance(item[name], Real)
    ]
    values: dict[str, list[float]] = {}
    for sample in samples:
        values.setdefault(sample.metric, []).append(sample.value)
    metrics, primary = [], {}
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
            scored = Metric(UTILITY, f"{name}/{metric}", value, *bounds, n=n)
            metrics.append(
                _share(scored, f"lm-eval's {metric}") if metric.split(",")[0] in PRIMARY else scored
            )
        primary[name] = next((numbers[m] for p in PRIMARY for m in numbers if m.split(",")[0] == p), None)
    asked = [primary[name] for names in loaded_tasks["asked"].values() for name in names]
    if any(value is None for value in asked):
        raise HarnessError(f"lm-eval gave no {', '.join(PRIMARY)} for a task it was asked for.")
    score = float(np.mean(asked))  # type: ignore[arg-type]
    of_all = Metric("all", SCORE, score, n=sum(count.values()))
    metrics.append(_share(of_all, f"mean over lm-eval tasks of {PRIMARY_TEXT}"))
    return Outcome(metrics, samples)


def _share(metric: Metric, definition: str) -> Metric:
    return replace(metric, low_bound=0.0, high_bound=1.0, definition=definition)


def _metric(name: str, filtered: str) -> str:
    return name if filtered == "none" else f"{name},{filtered}"


def _content(task: Any, limit: int | None) -> str:
    """Everything about a task that decides a score: how it asks, the items, the examples it shows before."""
    config = {name: value for name, value in task.dump_config().items() if name not in PLACES}
    examples = list(task.fewshot_docs() or ()) if task.get_config("num_fewshot") else []
    content = [task.VERSION, config, list(islice(task.eval_docs, limit)), examples]
    return json.dumps(content, sort_keys=True, default=str)


def _without_addresses(text: str) -> str:
    """A function that has no source of its own, such as a partial, is told with where it lies in memory."""
    return re.sub(" at 0x[0-9a-f]+", "", text)


def _configs(source: str) -> dict[str, Any]:
    """By name, the task configurations that ``"module:function"`` returns."""
    module, _, function = source.partition(":")
    try:
        return {config["task"]: config for config in getattr(importlib.import_module(module), function)()}
    except Exception as error:  # a stranger's code
        raise PluginError(
            f"utility_tasks = '{source}' gives no tasks: {error} ({type(error).__name__})"
        ) from error


def _check_yaml(directory: Path) -> None:
    """Raise DataError for a file that is no YAML: lm-eval would leave it out without a word."""
    for path in sorted(directory.rglob("*.yaml")):
        try:
            list(yaml.parse(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(path, f"not YAML: {' '.join(str(error).split())}") from error


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"--utility: there is no lm-eval task '{name}'.{hint} `lm-eval ls tasks` lists lm-eval's own, "
        "and --utility-tasks DIR adds the YAML files of a directory."
    )


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


def _silence() -> None:
    """lm-eval's remarks and bars would be written across ours."""
    import datasets

    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    for name in ("lm_eval.api.model", "lm_eval.api.task", "lm_eval.models.huggingface"):
        if module := sys.modules.get(name):  # its bars have no switch
            module.tqdm = lambda *args, **options: tqdm(*args, **{**options, "disable": True})  # type: ignore[attr-defined]
