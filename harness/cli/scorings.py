"""Where a benchmark's scoring cannot tell the original from chance: which of its other scorings can."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.names import NO_ATTACK, ORIGINAL
from ..runner.options import RunOptions

SETTING = "scoring"
"""The setting that chooses among a benchmark's ways to score, where it has several."""


def others(options: RunOptions, name: str) -> Iterator[str]:
    """A sentence for each other value of the setting ``scoring`` by which another metric is looked at.

    The original is measured with each, and nothing is trained. Nothing is said of a benchmark without such a
    setting.
    """
    from .. import api
    from ..leaderboard import controls
    from ..plugins.settings import settings_of
    from ..runner.resolve import benchmarks_of

    own = {key: value for key, value in options.settings.items() if key.startswith(f"{name}.")}
    alone = {"methods": (ORIGINAL,), "attacks": (NO_ATTACK,), "controls": False}
    plain = options.model_copy(update={**alone, "settings": own})
    [spec], registry = benchmarks_of(plain)
    setting = settings_of(registry.benchmark(name).load()).get(SETTING)
    metrics = {spec.make(registry).forget_metric}
    for value in [value for schema in setting.schemas for value in schema.get("enum", ())] if setting else ():
        chosen = plain.model_copy(update={"settings": own | {f"{name}.{SETTING}": value}})
        [spec], _ = benchmarks_of(chosen)
        if (metric := spec.make(registry).forget_metric) in metrics:
            continue
        metrics.add(metric)
        found = controls.not_chance(api.carry_out(chosen).leaderboard.to_pylist())
        can = f"can: give --set {name}.{SETTING}={value}" if found.passed else "cannot either"
        yield f"{SETTING}={value} {can} ({found.detail})"
