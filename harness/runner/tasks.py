"""lm-eval tasks: found by name, read with their items, and fingerprinted.

A task is named as in lm-eval; it comes from a directory of the user's YAML files, from the benchmark
(``Benchmark.utility_tasks``) or from lm-eval, in this order.
"""

from __future__ import annotations

import difflib
import importlib
import json
import logging
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..core.files import ours
from ..core.keys import files_fingerprint, key
from ..errors import LONGEST_WORD, ConfigError, HarnessError, PluginError
from . import trust

PRIMARY = ("acc_norm", "acc", "exact_match")
PRIMARY_TEXT = f"{', '.join(PRIMARY[:-1])} or {PRIMARY[-1]}"
"""Metrics in [0, 1], of which the first that a task has counts."""

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
    trust_code: bool = False
    """Whether Python code that files of ``directory`` name may run."""

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
        loaded_tasks = read(self.tasks, self.directory, builtin, self.trust_code)
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
        code = [here, here.with_name("utility.py")]  # what finds the tasks, and what measures them
        code += ours(self.directory.rglob("*.py")) if self.directory else ()
        content = [_content(task, self.limit) for task in loaded_tasks["tasks"].values()]
        content += [
            f"{group.child_names} {group.aggregate_metric_list}" for group in loaded_tasks["groups"].values()
        ]
        fingerprint = key([[_without_addresses(text) for text in content], files_fingerprint(code)])
        engine = f"lm_eval {metadata.version('lm_eval')}"
        return Resolved(engine, fingerprint, json.dumps(config, sort_keys=True))


@lru_cache(maxsize=4)
def load(
    names: tuple[str, ...], directory: Path | None, builtin: str, fingerprint: str, trusted: bool = False
) -> Tasks:
    """As :func:`read`, once per process for the same ``fingerprint``."""
    return read(names, directory, builtin, trusted)


def read(names: tuple[str, ...] | None, directory: Path | None, builtin: str, trusted: bool = False) -> Tasks:
    """The tasks with their items. Code that files of the directory name runs only if it is ``trusted``.

    Raises HarnessError for such code, for an unknown name, for items that cannot be read or fetched, and for
    tasks that have no score in [0, 1] or need more than a language model.
    """
    if directory:
        trust.check(directory, trusted)
    from lm_eval.tasks import TaskManager

    silence()
    trust.guard_templates(trusted)
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


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6) if len(name) <= LONGEST_WORD else []
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"--utility: there is no lm-eval task '{name}'.{hint} `lm-eval ls tasks` lists lm-eval's own, "
        "and --utility-tasks DIR adds the YAML files of a directory."
    )


def silence() -> None:
    """lm-eval's remarks and bars would be written across ours."""
    import datasets

    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    for name in ("lm_eval.api.model", "lm_eval.api.task", "lm_eval.models.huggingface"):
        if module := sys.modules.get(name):  # its bars have no switch
            module.tqdm = lambda *args, **options: tqdm(*args, **{**options, "disable": True})  # type: ignore[attr-defined]
