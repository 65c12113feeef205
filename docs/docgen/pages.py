"""The generated part of a page about a plugin, and the tables over all of a kind.

Settings come from its Config, numbers from the committed leaderboard and from docs/performance.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from harness.core.base import Analysis, Attack, Method
from harness.core.benchmark import Benchmark, Plugin
from harness.core.composition import JOINED
from harness.core.config import MethodConfig, TrainingConfig
from harness.core.formulas import described
from harness.core.modifier import Modifier
from harness.core.types import Reported
from harness.leaderboard.labels import attack_label, method_label
from harness.plugins.entry import Entry
from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry
from harness.plugins.settings import settings_of

from .text import cell, code, docstring, interval, number, plain, table

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
Row = dict[str, Any]

REFERENCE = "gd"
"""The method that costs are set against."""

MISSING = "It is not in the committed leaderboard yet.\n"


def section(registry: Registry, uri: str) -> str:
    """What follows the hand-written text of ``methods/gd.md``; nothing for a page that is about no plugin."""
    folder, _, name = uri.removesuffix(".md").partition("/")
    entries = next((registry.kinds[kind] for kind in Kind if kind.plural == folder), {})
    if name not in entries:
        return ""
    cls = entries[name].load()
    kinds: dict[str, Callable[[str, Any], Iterable[str]]]
    kinds = {
        "method": _method,
        "modifier": lambda name, cls: [settings(name, cls)],
        "attack": _attack,
        "benchmark": _benchmark,
        "analysis": _analysis,
    }
    about = kinds[entries[name].kind]
    parts = [_source(entries[name], cls), *about(name, cls)]
    return "\n".join(part for part in parts if part)


def methods() -> str:
    """Every method with its paper and its standing."""
    rows = [row for row in leaderboard() if row["attack"] == "none"]
    head = ["method", "what it is", *(f"worst attack, {name}" for name in _benchmarks(rows))]
    return _overview("method", head, lambda name: [_worst(rows, name, b) for b in _benchmarks(rows)])


def modifiers() -> str:
    """Every modifier with the settings that change nothing."""
    registry = Registry()

    def facts(name: str) -> list[str]:
        cls: type[Modifier] = registry.get(Kind.MODIFIER, name).load()  # type: ignore[assignment]
        return [", ".join(f"`{name}.{setting}={value}`" for setting, value in cls.identity.items())]

    return _overview("modifier", ["modifier", "what it does", "changes nothing with"], facts)


def attacks() -> str:
    """Every attack with what it reads."""
    registry = Registry()

    def facts(name: str) -> list[str]:
        cls: type[Attack] = registry.attack(name).load()  # type: ignore[assignment]
        return [", ".join(sorted(cls.reads)) or "nothing", ", ".join(filter(None, cls.variants))]

    return _overview("attack", ["attack", "what it is", "reads", "variants"], facts)


def benchmarks() -> str:
    """Every benchmark with what the threshold looks at."""
    registry = Registry()

    def facts(name: str) -> list[str]:
        cls: type[Benchmark] = registry.benchmark(name).load()  # type: ignore[assignment]
        return [code(cls.forget_metric), "--data or the hub" if cls.needs_data else "the package"]

    return _overview("benchmark", ["benchmark", "what it is", "forget metric", "facts from"], facts)


def analyses() -> str:
    """Every analysis with the models it compares."""
    registry = Registry()

    def facts(name: str) -> list[str]:
        cls: type[Analysis] = registry.analysis(name).load()  # type: ignore[assignment]
        return [_compared(cls)]

    return _overview("analysis", ["analysis", "what it is", "compares"], facts)


def board() -> str:
    """The way to the leaderboard that sorts and draws."""
    link = '<a href="leaderboard/index.html">The same as a page that sorts, filters and draws</a>'
    return f"## With curves\n\n{link}.\n"


def settings(name: str, cls: type[Plugin]) -> str:
    """The settings as ``harness show`` has them."""
    rows = [
        (code(f"{name}.{s.name}"), plain(s.allowed), code(s.default), plain(s.description))
        for s in settings_of(cls).values()
    ]
    made = table(("`--set`", "allowed", "default", "what it is"), rows)
    if issubclass(cls.Config, MethodConfig | TrainingConfig):
        made += "\nRates, epochs and batch size that are `none` take the [protocol](../protocol.md)'s.\n"
    return f"## Settings\n\n{made or 'It has none.'}\n"


@cache
def leaderboard() -> list[Row]:
    """The rows of the committed leaderboard."""
    return pq.read_table(ROOT / "leaderboard" / "leaderboard.parquet").to_pylist()


def anchor(metric: str) -> str:
    """The id of a metric's section, as Sphinx writes ids."""
    return "metric-" + metric.lower().replace("+", "-plus").replace("_", "-")


def where(reported: Reported) -> str:
    """The splits a metric is measured on."""
    return "aggregate" if reported.splits == ("all",) else ", ".join(reported.splits)


def wanted(reported: Reported) -> tuple[str, str]:
    """Which values of a metric are better, and which is ideal, on these splits."""
    formula = described(reported.formula)
    return reported.better or formula.better, reported.ideal or formula.ideal


def _overview(kind: str, head: list[str], more: Callable[[str], list[str]]) -> str:
    entries = Registry().kinds[kind].values()
    rows = [(f"[`{e.name}`]({e.name}.md)", plain(e.summary()), *more(e.name)) for e in entries]
    return table(head, rows)


def _source(entry: Entry, cls: type[Plugin]) -> str:
    paper = re.sub(r"\d{4}\.\d{5}", r"[\g<0>](https://arxiv.org/abs/\g<0>)", cls.paper)
    told = f"Source: `{entry.path}`." + f" Paper: {paper}." * bool(paper)
    return f"{told} `harness show {entry.name}` prints the short form of this page.\n"


def _method(name: str, cls: type[Method]) -> Iterable[str]:
    rows = [row for row in leaderboard() if row["method"] == name]
    yield from (settings(name, cls), _cost(name, rows), *_standing(rows))


def _cost(name: str, rows: list[Row]) -> str:
    units = [r for r in leaderboard() if _before(r) and r["method"] == REFERENCE and not r["config"]]
    by_target = {(r["benchmark"], r["target"]): r for r in units}
    lines = []
    for row in filter(_before, rows):
        unit = by_target.get((row["benchmark"], row["target"]))
        share = number(row["seconds"] / unit["seconds"], 2) if unit else number(None)
        # A process that trained nothing reports no peak of its own.
        peak = number(row["peak_memory_mib"] or None, 0)
        lines.append((_place(row), number(row["steps"], 0), number(row["seconds"], 1), share, peak))
    head = ("benchmark", "steps", "seconds", f"seconds / {REFERENCE}", "peak memory, MiB")
    made = "## Cost\n\nUnlearning and its evaluation (the cell before any attack), mean over seeds, on the "
    made += "[machine](../performance.md) of the committed leaderboard.\n\n" + (table(head, lines) or MISSING)
    if measured := _measured(name):
        made += "\nA step alone, on a larger model ([performance](../performance.md)):\n\n" + measured
    return made


def _measured(name: str) -> str:
    """The row of this method in the table of docs/performance.md, with its head; nothing if it has none."""
    text = (DOCS / "performance.md").read_text()
    block = re.search(r"^\| method \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    lines = (
        [[c.strip() for c in line.strip("|").split("|")] for line in block[0].splitlines()] if block else []
    )
    mine = [line for line in lines if re.fullmatch(rf"{re.escape(name)}( \(.*\))?", line[0])]
    return table(lines[0], mine) if mine else ""


def _standing(rows: list[Row]) -> Iterable[str]:
    yield "## Its rows\n"
    yield "From the committed leaderboard; [how to read it](../howto/compare.md).\n" if rows else MISSING
    for place, found in groupby(sorted(rows, key=_place), _place):
        cells = list(found)
        for row in filter(_before, cells):
            yield f"### {place}\n"
            facts = {
                "rank": number(row["rank"]),
                "guard": row["guard"] or "–",
                f"forget {row['forget_metric']}": interval(row, "forget_before"),
                "retain": number(row["retain_before"]),
                "utility": number(row["utility_before"]),
                "lm-eval": number(row["lm_eval"]),
                "worst": f"{interval(row, 'worst')} {row['worst_attack'] or ''}",
                "seeds": f"{row['seeds']}, failed {row['failed']}",
            }
            yield table(list(facts), [[plain(value) for value in facts.values()]])
        attacked = [row for row in cells if not _before(row)]
        head = ("attack", "score", "recovery", "exact match", "facts scored")
        yield table(head, [(attack_label(row), *_found(row)) for row in attacked])


def _linked(row: Row) -> str:
    """A method, of a composition each part, with a link to its page, and its settings."""
    base, *modifiers = row["method"].split(JOINED)
    names = (f"[{base}](../methods/{base}.md)", *(f"[{name}](../modifiers/{name}.md)" for name in modifiers))
    return "+".join(names) + method_label(row).removeprefix(row["method"])


def _attack(name: str, cls: type[Attack]) -> Iterable[str]:
    facts = {
        "reads": ", ".join(sorted(cls.reads)) or "nothing",
        "variants": ", ".join(filter(None, cls.variants)) or "one",
        "published rates": ", ".join(f"{rate:g}" for rate in cls.rates) or "it does not train",
    }
    yield table(list(facts), [list(facts.values())])
    yield settings(name, cls)
    yield "## What it finds\n"

    def setting(row: Row) -> tuple[str, str]:
        return _place({**row, "config": None}), attack_label(row)

    mine = sorted((row for row in leaderboard() if row["attack"] == name), key=setting)
    yield "From the committed leaderboard; [how to read it](../howto/compare.md).\n" if mine else MISSING
    for (place, label), found in groupby(mine, setting):
        yield f"### {place}, {label}\n"
        head = ("method", "score", "recovery", "exact match", "facts scored", "steps", "seconds")
        rows = [
            (_linked(r), *_found(r), number(r["steps"], 0),
             number(r["seconds"], 1))
            for r in found
        ]  # fmt: skip
        yield table(head, rows)


def _benchmark(name: str, cls: type[Benchmark]) -> Iterable[str]:
    facts = {
        "forget metric": code(cls.forget_metric),
        "followed along an attack": ", ".join(map(code, cls.curve_metrics)),
        "retain column": " ".join(map(code, cls.retain_metric)),
        "threshold": cell(plain(docstring(cls.threshold))) or "[a setting](#settings)",
        "chance": cell(plain(docstring(cls.chance))),
    }
    yield table(("", "what it is"), facts.items())
    yield settings(name, cls)
    yield "## Metrics\n"
    rows = []
    for reported in cls.reports:
        link = f"[`{reported.metric}`](../reference/metrics.md#{anchor(reported.metric)})"
        values = described(reported.formula).range, *wanted(reported)
        rows.append((link, where(reported), *values, ", ".join(reported.needs)))
    yield table(("metric", "measured on", "range", "better", "ideal", "needs"), rows)
    controls = [r for r in leaderboard() if r["benchmark"] == name and _before(r)]
    if controls:
        yield "## Its table before any attack\n"
        head = ("method", "forget", "retain", "utility", "worst", "under")
        yield table(
            head,
            [
                (method_label(r), interval(r, "forget_before"), number(r["retain_before"]),
                 number(r["utility_before"]), interval(r, "worst"), r["worst_attack"] or "–")
                for r in controls
            ],
        )  # fmt: skip


def _analysis(name: str, cls: type[Analysis]) -> Iterable[str]:
    yield f"It compares {_compared(cls)}.\n"
    yield settings(name, cls)


def _compared(cls: type[Analysis]) -> str:
    return "original, unlearned and attacked model" if cls.attacked else "original and unlearned model"


def _found(row: Row) -> tuple[str, ...]:
    if row["score"] is None:
        return ("failed" if row["failed"] else number(None), "–", "–", "–")
    return (*(interval(row, name) for name in ("score", "recovery", "exact_match")), number(row["n_scored"]))


def _before(row: Row) -> bool:
    return row["attack"] == "none"


def _place(row: Row) -> str:
    return f"{row['benchmark']}, model {row['model']}" + f" ({row['config']})" * bool(row["config"])


def _benchmarks(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["benchmark"] for row in rows))


def _worst(rows: list[Row], method: str, benchmark: str) -> str:
    found = [r for r in rows if (r["method"], r["benchmark"]) == (method, benchmark)]
    return "; ".join(f"{interval(r, 'worst')} {r['worst_attack'] or ''}".strip() for r in found) or "–"
