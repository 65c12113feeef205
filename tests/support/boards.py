"""A small leaderboard for the tests of its page: two benchmarks, ties, guards, failures, what is missing."""

from __future__ import annotations

from dataclasses import replace

from harness.core.names import ANALYSIS
from harness.core.types import Finding, Metric, Outcome
from harness.leaderboard.groups import grouped
from harness.report import files
from harness.store.store import Store, analyses
from support.cells import cell
from support.rows import judged
from support.sound import sound

EVIL = "</script><img src=x onerror=\"document.title='broken'\"> & \u2028 'quoted' {{ braces }}"
KNOWN = {
    "none": (20, 20),
    "retrain": (2, 2),
    "refusal": (5, 20),
    "a": (4, 10),
    "b": (4, 11),
    "c": (4, 20),
    "gd": (3, 14),
    "npo": (4, 13),
}
"""How many of 20 facts each method's model answers before the attack and after it."""

ODD = "<b>odd\"&'</b>"
"""The name of a method on the second benchmark, where neither retrain nor a curve is."""

ATTACKED = {"recovered_attack": "private-data p=0.1", "ranked_over": ["private-data p=0.1"]}
VERDICTS = {
    "none": ATTACKED | {"recovered": 1.0, "kept": 1.0, "kept_of": "retain"},
    "retrain": ATTACKED | {"recovered": 0.0, "kept": 1.0, "kept_of": "retain"},
    "refusal": ATTACKED | {"recovered": 1.0, "kept": 1.0, "kept_of": "retain"},
    **{
        method: ATTACKED
        | {
            **{"verdict": verdict, "verdict_why": f"{share} came back", "few_facts": method == "a"},
            **{"recovered": share, "recovered_low": share - 0.1, "recovered_high": share + 0.1},
            **{"kept": 0.95, "kept_low": 0.9, "kept_high": 1.0, "kept_of": "retain", "forgotten": 1.0},
            **{"baseline": "retrain", "threshold": 0.25, "threshold_high": 0.3, "threshold_rule": "twin"},
            **{"above_twin": 0.1, "above_twin_low": 0.05, "above_twin_high": 0.15, "targets": 2},
        }
        for method, verdict, share in (
            *(("a", "undecided", 0.44), ("b", "partly hidden", 0.3), ("c", "hidden", 1.0)),
            *(("gd", "damaged", 0.67), ("npo", "hidden", 0.61)),
        )
    },
}
"""Made-up verdicts on the methods of the first benchmark, with what stands beside them."""


PAGES = ("methods/gd", "methods/none", "attacks/private-data", "analyses/influence", "reference/metrics")
"""Pages of a documentation that there is."""


def made(place):
    """The tables of that leaderboard: rows, curves, facts, and what analyses found."""
    store = Store(place)
    for row, outcome in (*first(), *second(), *looked()):
        store.commit(row, outcome)
    cells = store.cells()
    groups = grouped(cells, store.metrics(), store.samples())
    built = files.build(groups, analyses([store]))
    return built._replace(board=judged(built.board, VERDICTS))


def looked():
    """Analyses of gd under two seeds, and of what an attack made of it; a second method has one of them."""
    for seed in (0, 1):
        yield analysis("gd", "influence", seed, influence(seed))
        yield analysis("gd", "lens", seed, lens(seed))
    yield analysis("b", "influence", 0, influence(5))
    moved = [
        Finding("scatter", series, 0.01 * i * sign, 0.02 * i * sign, layer=0, module="up")
        for series, sign in (("positive", 1), ("negative", -1))
        for i in range(1, 81)
    ]
    moved += [Finding("pearson", "positive", 0.73), Finding("pearson", "positive", 0.5, None, 0, "up")]
    yield analysis("gd", "stability", 0, moved, attack="private-data", variant="p=0.1")


def influence(more):
    for sign, series in ((1, "D+"), (2, "D-")):
        yield from (Finding("cumulated", series, sign * x / 1000 + more, x) for x in (1.0, 100.0, 1000.0))
        yield Finding("top100", series, float(sign + more), 100.0)
        for layer in (0, 1):
            for module in ("up", "down"):
                yield Finding("map", series, sign * (1 + layer) * 1e-4, layer=layer, module=module)


def lens(seed):
    yield Finding("accuracy", "chance", 0.5)
    for series, last in (("forget original", 1.0), ("forget unlearned", 0.2 + 0.2 * seed)):
        yield from (Finding("accuracy", series, v, x, layer=int(x)) for x, v in ((0.0, 0.5), (1.0, last)))


def analysis(method, name, seed, findings, **attack):
    """The cell of an analysis."""
    row, _ = cell(method, attack.get("attack", "none"), seed)
    own = {"analysis": name, "analysis_plugin": "unlearning-harness 0.1.0", "analysis_source": "s" * 64}
    return sound(replace(row, key="", stage=ANALYSIS, notes="{}", **own)), Outcome(findings=list(findings))


def first():
    for method, (before, after) in KNOWN.items():
        for seed in range(3):
            row, outcome = cell(method, seed=seed, known=before)
            if method == "gd":
                # 0.716 of 0.9 are left, and each fact has lost nearly the same share.
                outcome = Outcome(
                    [replace(m, value=0.716) if m.split == "retain" else m for m in outcome.metrics],
                    [less(sample) if sample.split == "retain" else sample for sample in outcome.samples],
                )
            yield row, answered(outcome, seed)
            lost = {"status": "failed", "error_type": "E", "error_message": EVIL}
            failed = lost if (method, seed) == ("npo", 2) else {}
            row, outcome = rising(*cell(method, "private-data", seed, after, **failed), before, after)
            yield row, answered(outcome, seed)
            notes = {"chance": None, "forget_metric": "exact_match", "learning_rate": None}
            yield cell(method, "sample", seed, after, notes, variant="", peak_memory_mib=0.0)


def answered(outcome, seed):
    """The same with what the model wrote, where exact matches are looked at."""
    samples = [
        replace(sample, answer=answer(sample, seed)) if sample.metric == "exact_match" else sample
        for sample in outcome.samples
    ]
    return replace(outcome, samples=samples)


def answer(sample, seed):
    """The right answer, with the seed, or one that is markup; the last fact has none."""
    texts = {"f19": ""} if not sample.value else {}
    return texts.get(sample.fact_id, f"gold of {sample.fact_id}, seed {seed}" if sample.value else EVIL)


def less(sample):
    odd = int(sample.fact_id[1:]) % 2
    return replace(sample, value=sample.value * 0.716 / 0.9 + 0.0005 * (2 * odd - 1))


def rising(row, outcome, before, after):
    """The same cell with a curve at two rates."""
    points = [
        (0, None, before),
        (5, 1e-5, (before + after) / 2),
        (10, 1e-5, after),
        (5, 1e-6, before),
        (10, 1e-6, before),
    ]
    kept = [metric for metric in outcome.metrics if metric.step is None]
    kept += [
        Metric(
            "forget",
            "accuracy",
            known / 20,
            max(0, known / 20 - 0.1),
            min(1, known / 20 + 0.1),
            20,
            step,
            rate,
        )
        for step, rate, known in points
    ]
    return row, Outcome(kept, outcome.samples)


def second():
    for method in ("none", ODD):
        for seed in range(3):
            yield cell(method, seed=seed, known=4 if method == ODD else 20, benchmark="other", model="big")
    notes, place = {"learning_rate": None}, {"benchmark": "other", "model": "big"}
    row, outcome = cell(ODD, "noise", 0, 9, notes, variant="std=0.05", **place)
    yield row, Outcome([metric for metric in outcome.metrics if metric.step is None], outcome.samples)
