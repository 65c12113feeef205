"""What the installed plugins are, as plain data: what `harness list` and `harness show` print.

With --json they give it as it is: its keys are an interface, and :data:`SCHEMA` is raised when one of them is
renamed, removed or changes its meaning.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..core.base import Analysis, Attack, Method
from ..core.benchmark import Benchmark, Plugin
from ..core.modifier import Modifier
from ..core.types import Reported
from .entry import Entry
from .registry import Registry

SCHEMA = 1


def listing(registry: Registry) -> dict[str, Any]:
    """Every plugin that can be used, and every one that was left out. Imports none that gave its path."""
    broken = [
        {"name": b.name, "owner": b.distribution, "version": b.version, "error": b.error}
        for b in registry.broken
    ]
    entries = [entry for kind in registry.kinds.values() for entry in kind.values()]
    return {"schema": SCHEMA, "plugins": [summary(entry) for entry in entries], "broken": broken}


def summary(entry: Entry) -> dict[str, Any]:
    """What is known of a plugin without importing it. ``owner`` is its distribution, ``path`` its class."""
    return {
        "name": entry.name,
        "kind": entry.kind,
        "summary": entry.summary(),
        "owner": entry.distribution,
        "version": entry.version,
        "path": entry.path,
    }


def manual(entry: Entry) -> dict[str, Any]:
    """The same and everything its class says. Raises PluginError when it breaks the contract of its base."""
    from .settings import settings_of

    cls = entry.load()
    settings = [
        {
            "name": setting.name,
            "allowed": setting.allowed,
            "default": setting.default,
            "description": setting.description,
        }
        for setting in settings_of(cls).values()
    ]
    reports = cls.reports if issubclass(cls, Benchmark) else ()
    return {
        **summary(entry),
        "manual": inspect.cleandoc(cls.__doc__ or ""),
        "facts": _facts(cls),
        "settings": settings,
        "metrics": [_metric(reported) for reported in reports],
    }


def _metric(reported: Reported) -> dict[str, Any]:
    from ..core.formulas import described

    formula = described(reported.formula)
    return {
        "name": reported.metric,
        "splits": list(reported.splits),
        "definition": formula.definition,
        "range": formula.range,
        "better": reported.better or formula.better,
        "ideal": reported.ideal or formula.ideal,
    }


def _facts(cls: type[Plugin]) -> dict[str, str | list[str]]:
    """What the class attributes of a plugin say about it, for people."""
    facts: dict[str, str | list[str]] = {"paper": cls.paper}
    if issubclass(cls, Attack):
        facts["reads"] = sorted(cls.reads)
        facts["variants"] = [label for label in cls.variants if label]
    elif issubclass(cls, Analysis):
        models = ["original", "unlearned"]
        facts["compares"] = [*models, "attacked"] if cls.attacked else models
    elif issubclass(cls, Benchmark):
        facts["forget_metric"] = getattr(cls, "forget_metric", "")
        for attribute in ("curve_metrics", "retain_metric"):
            facts[attribute] = list(getattr(cls, attribute, ()))
        facts["threshold"] = _docstring(cls.threshold)
        facts["chance"] = _docstring(cls.chance)
        facts["data"] = "from --data or a hub" if cls.needs_data else "from the package"
    elif issubclass(cls, Modifier):
        facts["changes_nothing_with"] = [f"{cls.name}.{name}={value}" for name, value in cls.identity.items()]
    elif issubclass(cls, Method) and cls.stop:
        facts["stops_at"] = "{} <= {:g} on the forget split".format(*cls.stop)
    return {title: text for title, text in facts.items() if text != ""}


def _docstring(function: object) -> str:
    # Not inspect.getdoc(): the docstring of the base class says nothing about this plugin.
    return " ".join((function.__doc__ or "").split())
