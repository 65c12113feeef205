"""The README of a leaderboard, from its table alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pyarrow as pa

from ..leaderboard.labels import (
    attack_label,
    by_target,
    comparable,
    compared,
    method_label,
    settings,
    target_metric,
    tasks,
)

INTRO = """\
# Leaderboard

Did a method erase the knowledge, or only hide it? Each method unlearns a forget set; each attack then tries
to bring it back. The rules are in [docs/protocol.md](../docs/protocol.md), version {protocol}. Generated from
the committed cells; do not edit by hand. All numbers with their intervals, costs and signatures are in
`leaderboard.parquet`.

How to read the tables:

- **forget**, **retain** and **utility** are measured after unlearning and before any attack. Low forget and
  high retain and utility are good; **forgotten** is the share of seeds at or below the forgetting threshold.
- **lm-eval** is the mean over lm-eval tasks of their accuracy or exact match, before any attack, and in
  brackets its share of the original's.
- **worst** is the highest score over the attacks, with its 95 % interval, and then the attack. An attack that
  measures something else (the best of several answers) does not count in it, and its cells name the metric.
- **rank** goes by worst. Methods of one rank cannot be told from the lowest of them: paired tests on the same
  facts and seeds, corrected for all pairs. Controls come first and have none.
- **guard** says why a method has no rank: its forget set does not count as forgotten, it kept less than 90 %
  of the original's retain, utility or lm-eval score, or too little of it was measured.
- Under each attack stands the **score**: the forget metric's highest value along the attack, mean over seeds,
  with its 95 % interval over facts and seeds, and how many facts were scored (in the seed with the fewest).
  Lower is better.
- **recovery** is what the attack brought back, as a share of what it finds in a model that forgot nothing
  (`none`), above what it teaches one that never knew (`retrain`): 0 is erased, 1 is only hidden.
- **exact match** is the share of forget answers that the attacked model reproduces word by word.
- A dash is a number that was not measured or cannot be told from noise. Failed cells are listed, not counted.
"""


def markdown(table: pa.Table) -> str:
    """The README of a leaderboard: a table per target. No dates in it: the same table gives the same text."""
    rows = table.to_pylist()
    parts = [INTRO.format(protocol=", ".join(sorted({row["protocol"] for row in rows})))]
    for (benchmark, config, model, dtype, data, target), found in by_target(rows).items():
        chance = {row["chance"] for row in found if row["chance"] is not None}
        facts = f"Data `{data[:12]}`, target `{target[:12]}`, {dtype}, forget metric {target_metric(found)}, "
        facts += f"chance {' or '.join(_text(value) for value in sorted(chance)) or _text(None)}"
        facts += "".join(sorted({f", {tasks(row)}" for row in found if row["lm_eval_tasks"]}))
        told = f" ({settings(config)})" if config else ""
        parts.append(f"## {benchmark}: {model}{told}\n\n{facts}.\n")
        sections = (
            (None, _standing(found)),
            ("Which method is better?", _list(compared(found))),
            ("Under each attack:", _attacked(found)),
            ("Failed:", _list(_failed(found))),
        )
        parts += [f"{title}\n\n{text}\n" if title else f"{text}\n" for title, text in sections if text]
    return "\n".join(parts)


def _standing(rows: list[dict[str, Any]]) -> str:
    """A line for each method: how it stands, what it left of the model, and its worst attack."""
    measured = any(row["lm_eval_tasks"] for row in rows)
    head = ["method", "rank", "guard", "seeds", "forgotten", "forget", "retain", "utility"]
    lines = [[*head, *["lm-eval"] * measured, "worst", "under"]]
    for method, cells in _by_method(rows).items():
        row = next(iter(cells.values()))
        seeds = sorted({c["seeds"] for c in cells.values()})
        line = [method, _text(row["rank"]), row["guard"] or "", " to ".join(_once(seeds[0], seeds[-1]))]
        line += [_text(row["forgotten"]), _interval(row, "forget_before")]
        line += [_text(row[name]) for name in ("retain_before", "utility_before")]
        line += [_useful(row)] * measured
        lines.append([*line, _interval(row, "worst"), row["worst_attack"] or ""])
    return _table(lines)


def _attacked(rows: list[dict[str, Any]]) -> str:
    """A line for each method: what each attack found."""
    metric = target_metric(rows)
    attacks = sorted({attack_label(row) for row in rows if row["attack"] != "none"})
    methods = _by_method(rows).items()
    lines = [
        [method, *(_score(cells.get(attack), metric) for attack in attacks)] for method, cells in methods
    ]
    return _table([["method", *attacks], *lines]) if attacks else ""


def _by_method(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    methods: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        methods[method_label(row)][attack_label(row)] = row
    return methods


def _table(lines: list[list[str]]) -> str:
    head, *rest = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rest))


def _once(*values: int) -> list[str]:
    return [str(value) for value in dict.fromkeys(values)]


def _useful(row: dict[str, Any]) -> str:
    value, original = row["lm_eval"], row["lm_eval_original"]
    return f"{_text(value)} ({value / original:.0%})" if value is not None and original else _text(value)


def _score(row: dict[str, Any] | None, metric: str | None) -> str:
    if row is None or row["score"] is None:
        return "failed" if row and row["failed"] else _text(None)
    scored = f"{row['n_scored']} facts x {row['seeds']} seeds" if row["n_scored"] else f"{row['seeds']} seeds"
    lines = [_interval(row, "score"), scored, f"recovery {_interval(row, 'recovery')}"]
    if not comparable(row, metric):
        lines.insert(1, f"of {row['forget_metric']}")
    if row["exact_match"] is not None and row["forget_metric"] != "exact_match":
        lines.append(f"exact match {_text(row['exact_match'])}")
    return "<br>".join(lines)


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _interval(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return _text(row[name]) if low is None else f"{_text(row[name])} [{_text(low)}, {_text(high)}]"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _failed(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{method_label(row)}, {attack_label(row)}, " + " ".join(error.split()).replace("|", "\\|")
        for row in rows
        for error in row["errors"] or ()
    ]
