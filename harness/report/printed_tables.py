"""Tables of a leaderboard for a paper, a page or a spreadsheet: plain cells, and a writer for each format."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from ..core.names import CONTROLS, NO_ATTACK
from ..errors import StoreError
from ..leaderboard.columns import Estimate
from ..leaderboard.format import DASH, NOT_APPLICABLE
from ..leaderboard.labels import attack_label, by_method, by_strength, by_target, method_label, target_metric
from . import escape
from .templating import environment

Intervals = Literal["brackets", "plus-minus"]

Row = dict[str, Any]
Cell = str | float | Estimate | None


class Column(NamedTuple):
    """A head, and how its numbers are shown: digits behind the point, or per cent."""

    name: str
    digits: int = 2
    percent: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a name for files and references, a caption, and cells that are not text yet."""

    name: str
    caption: str
    columns: Sequence[Column]
    lines: Sequence[Sequence[Cell]]


def verdicts(rows: Sequence[Row]) -> Table:
    """Of one target: each method's verdict, worst attack, and what came back and was kept."""
    columns = [
        Column("method"),
        Column("verdict"),
        Column("forget"),
        Column("worst"),
        Column("under"),
        Column("recovered", 0, percent=True),
        Column("retain"),
        Column("utility"),
        Column("kept", 0, percent=True),
        Column("rank", 0),
    ]
    lines: list[list[Cell]] = []
    for method, row in by_method(rows).items():
        control = row["method"] in CONTROLS
        lines.append(
            [
                method,
                NOT_APPLICABLE if control else row["verdict"],
                Estimate.of(row, "forget_before"),
                Estimate.of(row, "worst"),
                row["worst_attack"],
                Estimate.of(row, "recovered"),
                *(Estimate.of(row, name) for name in ("retain_before", "utility_before", "kept")),
                row["rank"],
            ]
        )
    return Table(
        escape.file_name(f"verdicts {_target(rows)}"),
        f"{_target(rows)}: what each method did.",
        columns,
        lines,
    )


def attacks(rows: Sequence[Row]) -> Table:
    """Of one target: each method's score under each attack, the strongest first."""
    names = by_strength(rows)
    scores = {(method_label(row), attack_label(row)): row for row in rows if row["attack"] != NO_ATTACK}
    lines: list[list[Cell]] = [
        [
            method,
            Estimate.of(before, "forget_before"),
            *(Estimate.of(row, "score") if (row := scores.get((method, name))) else None for name in names),
        ]
        for method, before in by_method(rows).items()
    ]
    columns = [Column("method"), Column("no attack"), *map(Column, names)]
    metric = target_metric(rows) or "score"
    caption = f"{_target(rows)}: {metric} on the facts to forget, highest along each attack; lower is better."
    return Table(escape.file_name(f"attacks {_target(rows)}"), caption, columns, lines)


def curves(points: Sequence[Row]) -> Table:
    """Of one target: the score after each step of an attack that trains."""
    columns = [Column("method"), Column("attack"), Column("step", 0), Column("score"), Column("facts", 0)]
    lines: list[list[Cell]] = [
        [method_label(p), attack_label(p), p["step"], Estimate.of(p, "value"), p["n_scored"]] for p in points
    ]
    caption = f"{_target(points)}: {target_metric(points) or 'score'} along each attack."
    return Table(escape.file_name(f"curves {_target(points)}"), caption, columns, lines)


def tables(board: pa.Table, points: pa.Table, kinds: Iterable[str]) -> list[Table]:
    """The tables of these kinds, of every target. Raises StoreError where there is nothing to show."""
    made = {"verdicts": verdicts, "attacks": attacks, "curves": curves}
    rows = by_target(board.to_pylist())
    of_targets = {"verdicts": rows, "attacks": rows, "curves": by_target(points.to_pylist())}
    found = [made[kind](own) for kind in kinds for own in of_targets[kind].values()]
    if not found:
        raise StoreError("There is nothing to show: no attack here trains, so there is no curve.")
    return found


def csv_text(table: Table, _: Intervals) -> str:
    """Comma-separated: a number in full, and the ends of its interval in columns of their own."""
    wide = [any(isinstance(line[i], Estimate) for line in table.lines) for i in range(len(table.columns))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            name
            for column, three in zip(table.columns, wide, strict=True)
            for name in _heads(column.name, three)
        ]
    )
    for line in table.lines:
        cells: list[Cell] = []
        for cell, three in zip(line, wide, strict=True):
            cells += (cell if isinstance(cell, Estimate) else Estimate(None)) if three else [cell]
        writer.writerow(["" if cell is None else _unformula(cell) for cell in cells])
    return out.getvalue()


def markdown_text(table: Table, intervals: Intervals) -> str:
    """A table of Markdown, under its caption."""
    head = [escape.markdown(column.name) for column in table.columns]
    lines = [[escape.markdown(cell) for cell in line] for line in _shown(table, intervals)]
    body = [head, ["---"] * len(head), *lines]
    return "\n".join([escape.markdown(table.caption), "", *(f"| {' | '.join(line)} |" for line in body), ""])


def html_text(table: Table, intervals: Intervals) -> str:
    """A table of HTML with its caption."""
    return _templated("table.html.j2", True, table, _shown(table, intervals))


def latex_text(table: Table, intervals: Intervals) -> str:
    """A floating table of LaTeX, for booktabs."""
    body = _shown(table, intervals, math=True)
    return _templated("table.tex.j2", False, table, body)


WRITERS: dict[str, tuple[str, Callable[[Table, Intervals], str]]] = {
    "latex": ("tex", latex_text),
    "markdown": ("md", markdown_text),
    "csv": ("csv", csv_text),
    "html": ("html", html_text),
}
"""By format, the ending of its files and what writes it."""

LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "–": "--"},
}


def latex(text: str) -> str:
    """Text of strangers for LaTeX: one line that reads like it and commands nothing."""
    line = escape.plain(" ".join(text.split()), lines=False)
    return "".join(LATEX.get(c, c) for c in line)


def _templated(template: str, html: bool, table: Table, body: list[list[str]]) -> str:
    made = environment(escape=html)
    made.filters["latex"] = latex
    columns = zip(*table.lines, strict=True)
    align = "".join("l" if all(isinstance(c, str | None) for c in cells) else "r" for cells in columns)
    return made.get_template(template).render(table=table, body=body, align=align)


def _shown(table: Table, intervals: Intervals, math: bool = False) -> list[list[str]]:
    return [
        [_text(cell, column, intervals, math) for cell, column in zip(line, table.columns, strict=True)]
        for line in table.lines
    ]


def _text(cell: Cell, column: Column, intervals: Intervals, math: bool) -> str:
    """A cell as text; with ``math`` as LaTeX, in which what is no number is escaped."""
    if isinstance(cell, str):
        return latex(cell) if math else cell
    value, low, high = cell if isinstance(cell, Estimate) else (cell, None, None)
    if value is None:
        return latex(DASH) if math else DASH

    def rounded(part: float) -> str:
        return f"{100 * part if column.percent else part:.{column.digits}f}"

    mean, sign = rounded(value), ("\\,\\%" if math else " %") * column.percent
    if low is None or high is None or low == high:
        return f"{mean}{sign}"
    if intervals == "brackets":
        return f"{mean}{sign} [{rounded(low)}, {rounded(high)}]"
    below, above = rounded(value - low), rounded(high - value)
    if math:
        arms = rf"\pm {above}" if below == above else f"^{{+{above}}}_{{-{below}}}"
        return f"${mean} {arms}${sign}"
    return f"{mean} ± {above}{sign}" if below == above else f"{mean} +{above} -{below}{sign}"


def _heads(name: str, three: bool) -> tuple[str, ...]:
    return (name, f"{name}_low", f"{name}_high") if three else (name,)


def _unformula(cell: Cell) -> Cell:
    """Text that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and re.match(r"[=+\-@\t\r]", cell) else cell


def _target(rows: Sequence[Row]) -> str:
    return f"{rows[0]['benchmark']}, {rows[0]['model']}"
