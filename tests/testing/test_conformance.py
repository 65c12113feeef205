"""Every built-in plugin keeps the rules of the conformance suite."""

from __future__ import annotations

import pytest

from harness.plugins.registry import Registry
from harness.testing import examine

BUILT_IN = {
    (kind, name): entry
    for kind, entries in Registry().kinds.items()
    for name, entry in entries.items()
    if entry.distribution == "unlearning-harness"
}


@pytest.mark.parametrize(("kind", "name"), BUILT_IN, ids=str)
def test_a_built_in_plugin_keeps_every_rule(kind, name):
    cls = BUILT_IN[kind, name].load()
    results = list(examine(cls))
    assert [str(result) for result in results if result.status == "failed"] == []
    skipped = [result for result in results if result.status == "skipped"]
    lacking = cls.needs_data if kind == "benchmark" else getattr(cls, "needs", ())
    assert bool(skipped) == bool(lacking), skipped
