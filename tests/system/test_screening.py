"""A run on a benchmark that screens: the original is asked once, and only what it answers is used."""

from __future__ import annotations

import json

import pytest

from support.results import rows

PLUGIN = """
from harness import LogLikelihood, Measure, Prompt
from stub_plugin.benchmarks import Stub

UNKNOWN = {unknown}


class Screened(Stub):
    '''The original does not answer some.'''

    name = "stub-screened"
    forget_metric = "known"
    curve_metrics = ("known",)
    retain_metric = ("retain", "known")

    def training(self, splits):
        return None

    def candidates(self, splits):
        return [*splits["forget"], *splits["retain"]]

    def measures(self, splits):
        for split in ("forget", "retain"):
            for fact in splits.get(split, ()):
                known = float(fact.id not in UNKNOWN)
                asked = (LogLikelihood(Prompt(fact.question), fact.answer),)
                yield Measure(split, "known", fact.id, asked, lambda scores, known=known: known)

    def aggregates(self, samples):
        return {{}}
"""


@pytest.fixture
def run(world):
    """A run on the benchmark where these facts are not known, with a cache of its own."""

    def start(*unknown, results="results", code=0, methods="gd", attacks="nudge:small"):
        plugin = world.folder / "screened.py"
        plugin.write_text(PLUGIN.format(unknown=set(unknown) or "set()"))
        more = ("--plugin", plugin, "--cache", world.folder / "cache")
        ended = world.run(methods, attacks, "stub-screened", *more, results=results, seeds=1)
        assert ended.code == code, ended.err
        return ended

    return start


def scored(world, results="results"):
    """By cell, the forget facts that were scored."""
    from harness.store.store import Store

    store = Store(world.path(results))
    found = {}
    for sample in store.samples().to_pylist():
        if sample["split"] == "forget":
            found.setdefault(sample["key"], set()).add(sample["fact_id"])
    return found


def test_only_what_the_original_answers_is_used_and_the_rows_say_so(run, world):
    run("forget-0", "forget-3", "retain-1")
    known = {f"forget-{i}" for i in range(8)} - {"forget-0", "forget-3"}
    assert scored(world)
    assert all(facts <= known for facts in scored(world).values())
    for row in rows(world.path(), stage="evaluation"):
        notes = json.loads(row["notes"])
        assert (notes["candidates"], notes["screened_out"], notes["n_scored"]) == (16, 3, 6)


def test_the_original_is_asked_once_for_all_runs(run, world):
    run("forget-0")
    [path] = (world.folder / "cache" / "twins").glob("*.parquet")
    before = path.stat().st_mtime_ns
    run("forget-0", results="again", methods="npo")
    assert [path] == list((world.folder / "cache" / "twins").glob("*.parquet"))
    assert path.stat().st_mtime_ns == before


def test_too_few_facts_end_the_run_in_one_sentence_before_anything_is_unlearned(run, world):
    ended = run(*(f"forget-{i}" for i in range(7)), code=2)
    assert "and 1 of them are left for 'forget'; at least 2 are needed" in ended.err
    assert "Traceback" not in ended.err
    assert not rows(world.path())
