"""What was learned on one target, in plain sentences for those who do not read its table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import comb
from statistics import fmean, median
from typing import Any

from ..core.names import CONTROLS, NO_ATTACK, ORIGINAL
from .columns import Estimate
from .format import number, percent, share
from .labels import by_method, method_label
from .verdict import BELOW_TWIN, DAMAGED, ERASED, HIDDEN, NOT_FORGOTTEN, PARTLY_HIDDEN, UNDECIDED, VERDICTS

Row = Mapping[str, Any]

LEAST_ABOVE_CHANCE = 0.1
"""How far the original must be above chance before unlearning: what was never known cannot be forgotten."""

DIGITS = 2
MOST_NAMES, MOST_REASONS = 6, 3
"""How many methods a sentence names, and how many with a reason each; of the others it says how many."""

SAID = {
    NOT_FORGOTTEN: ("did not forget in the first place", "did not forget in the first place"),
    DAMAGED: ("damaged the model", "damaged the model"),
    BELOW_TWIN: (
        "scores below a model that never knew, which gives away that something was removed",
        "score below a model that never knew, which gives away that something was removed",
    ),
}
"""What is said of one method, and of several, that neither erased nor hid."""

TOO_WIDE = "the intervals are too wide to say which"


def findings(rows: Sequence[Row]) -> list[str]:
    """At most three statements on the rows of one target: what came back, what else failed, who is better.

    Where the original never knew the facts, that is the only one.
    """
    if reason := never_learned(rows):
        return [reason]
    methods = _methods(rows)
    if not methods:
        return ["There are only controls here: run a method to learn something about it."]
    return [text for text in (_knowledge(methods), _failures(methods), _order(methods)) if text]


def never_learned(rows: Sequence[Row]) -> str | None:
    """Why the numbers of a target mean nothing, and what to do; None where the original knows the facts."""
    original = next((r for r in rows if (r["method"], r["attack"]) == (ORIGINAL, NO_ATTACK)), None)
    if original is None or (score := original["forget_before"]) is None:
        return None
    chance, threshold, benchmark = original["chance"], original["threshold"], original["benchmark"]
    if chance is not None and score <= chance + LEAST_ABOVE_CHANCE:
        measure = f"guessing gives {number(chance, DIGITS)}"
    elif threshold is not None and score <= threshold:
        measure = f"{number(threshold, DIGITS)} counts as forgotten"
    else:
        return None
    return (
        f"The model never learned what it is to forget: before unlearning it scores {number(score, DIGITS)}, "
        f"and {measure}. So no number of {benchmark} means anything here. Take a model that knows the facts "
        f"(--model), or train it on them for longer: `harness show {benchmark}` lists the settings."
    )


def explained(rows: Sequence[Row]) -> list[str]:
    """The verdict on each method, and what decided it."""
    return [
        f"{method}: {row['verdict']}" + (f"; {row['verdict_why']}." if row["verdict_why"] else ".")
        for method, row in by_method(rows).items()
        if row["verdict"]
    ]


def _methods(rows: Sequence[Row]) -> list[Row]:
    """A row of each method that is no control."""
    return [row for row in by_method(rows).values() if row["method"] not in CONTROLS]


def _ranked(methods: Sequence[Row]) -> list[Row]:
    """Those with a rank, by their worst score."""
    return sorted((row for row in methods if row["rank"] is not None), key=lambda row: row["worst"])


def _pairs(ranked: Sequence[Row]) -> tuple[int, list[tuple[Row, Row]]]:
    """How many pairs of ranked methods there are, and those that are told apart, the better one first."""
    pairs = list(combinations(ranked, 2))
    return len(pairs), [(a, b) for a, b in pairs if method_label(b) in (a["distinguishable_from"] or ())]


def _with(methods: Sequence[Row], verdict: str) -> list[Row]:
    """The methods of a verdict, those first from which most came back."""
    own = [row for row in methods if row["verdict"] == verdict]
    return sorted(own, key=lambda row: -row["recovered"] if row["recovered"] is not None else 0)


def _knowledge(methods: Sequence[Row]) -> str:
    """Who hid what, how much of it came back, and who erased."""
    hidden, partly, erased = (_with(methods, verdict) for verdict in (HIDDEN, PARTLY_HIDDEN, ERASED))
    said = []
    if hidden:
        said.append(f"{_who(hidden, 'hides', 'hide')}: {_came_back(hidden)}.")
    if partly:
        said.append(f"{_who(partly, 'hides a part', 'hide a part')}: {_came_back(partly)}.")
    if erased:
        said.append(f"{_who(erased, 'erased', 'erased')}: {_stayed_away(erased)}.")
    elif len(methods) > 1:
        undecided = _with(methods, UNDECIDED)
        said.append("No method is known to have erased." if undecided else "No method erased.")
    return " ".join(said)


def _came_back(rows: Sequence[Row]) -> str:
    top = rows[0]
    who, source = ("they were", f"from {method_label(top)} ") if len(rows) > 1 else ("it was", "")
    share = percent(Estimate.of(top, "recovered"))
    return (
        f"up to {share} of what {who} made to forget came back, most {source}under {top['recovered_attack']}"
    )


def _stayed_away(rows: Sequence[Row]) -> str:
    top = rows[0]
    if top["recovered"] is None or top["recovered"] <= 0:
        return "no attack brought anything back"
    source = f" (from {method_label(top)})" if len(rows) > 1 else ""
    return f"no attack brought back more than {percent(Estimate.of(top, 'recovered'))}{source}"


def _failures(methods: Sequence[Row]) -> str:
    """Who neither erased nor hid, with the reason, and of whom it is not decided."""
    by_verdict = ((_with(methods, verdict), said) for verdict, said in SAID.items())
    failed = [f"{_with_reasons(own, 'verdict_why', *said)}." for own, said in by_verdict if own]
    return " ".join([*failed, *_undecided(_with(methods, UNDECIDED))])


def _undecided(rows: Sequence[Row]) -> Iterator[str]:
    """Between what it is not decided, or what lacks: a sentence for all methods of which that is the same."""
    by_reason: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_reason[_candidates(row["verdict_why"] or "")].append(row)
    for reason, own in by_reason.items():
        yield f"{_who(own, 'is undecided', 'are undecided')}{reason}."


def _candidates(why: str) -> str:
    """The verdicts that are left, where a reason begins with them; otherwise the reason as it is."""
    words = why.partition(":")[0].split(" or ")
    if {*words} <= {*VERDICTS}:
        return f": {_listed(words, len(words), ' or ')}; {TOO_WIDE}"
    return f" ({why})" if why else ""


def _order(methods: Sequence[Row]) -> str:
    """Who withstands the attacks better, as far as that can be told."""
    ranked = _ranked(methods)
    if not ranked:
        reasons = {row["guard"] for row in methods}
        why = reasons.pop() if len(reasons) == 1 else _with_reasons(methods, "guard")
        return f"No method is ranked: {why}." if why else "No method is ranked."
    if len(ranked) == 1:
        return f"Only {method_label(ranked[0])} is ranked." if len(methods) > 1 else ""
    pairs, certain = _pairs(ranked)
    if not certain:
        return _indistinct(ranked, pairs)
    beaten = {method_label(row): [b for a, b in certain if a is row] for row in ranked}
    better_than = beaten[method_label(ranked[0])]
    best = [row for row in ranked if beaten[method_label(row)] == better_than]
    if pairs == 1:
        scores = " and ".join(number(row["worst"], DIGITS) for row in ranked)
        names = map(method_label, ranked)
        return f"{' withstands attacks better than '.join(names)}: their worst scores are {scores}."
    start = f"Of {pairs} pairs of ranked methods {len(certain)} can be told apart"
    better = _who(best, "is better than", "are better than")
    return f"{start}: {better} {_names(better_than)}." if better_than else f"{start}."


def _indistinct(ranked: Sequence[Row], pairs: int) -> str:
    """That no two of the ranked methods can be told apart, and why."""
    apart = number(ranked[-1]["worst"] - ranked[0]["worst"], DIGITS)
    widths = [r["worst_high"] - r["worst_low"] for r in ranked if r["worst_low"] is not None]
    if pairs == 1:
        start = f"{_names(ranked)} cannot be told apart here: their worst scores differ by {apart}"
    else:
        start = f"None of the {pairs} pairs of ranked methods can be told apart: "
        start += f"their worst scores differ by {apart} at most"
    return (
        f"{start}, and the intervals are up to {number(max(widths), DIGITS)} wide." if widths else f"{start}."
    )


def overall(rows: Sequence[Row]) -> list[str]:
    """What the benchmarks of one model say together, of models that have several."""
    models: dict[tuple[str, str], list[Row]] = {(row["model"], row["dtype"]): [] for row in rows}
    for row in rows:
        if row["better_overall"] is not None:
            models[row["model"], row["dtype"]].append(row)
    said = {of: _together(own) for of, own in models.items() if len(by_method(own)) > 1}
    if len(models) == 1:
        return [*said.values()]
    return [f"With {model} in {dtype}: {sentence}" for (model, dtype), sentence in said.items()]


def _together(rows: Sequence[Row]) -> str:
    """Of methods that are ranked on all of several benchmarks, who is better than whom."""
    methods = by_method(rows)
    better = {name: row["better_overall"] for name, row in methods.items() if row["better_overall"]}
    benchmarks = _listed([*dict.fromkeys(row["benchmark"] for row in rows)], MOST_NAMES)
    told, pairs = sum(map(len, better.values())), comb(len(methods), 2)
    if pairs == 1 and not told:
        both = f"{_listed([*methods], 2)}, alone ranked on all,"
        return f"{both} cannot be told apart over {benchmarks} together."
    of_pairs = f"{told} of {pairs} pairs of methods that are ranked on all can be told apart"
    start = f"Over {benchmarks} together {of_pairs}"
    who = [f"{name} is better than {_listed(others, MOST_NAMES)}" for name, others in better.items()]
    return f"{start}: {'; '.join(who)}." if who else f"{start}."


def resolution(rows: Sequence[Row]) -> str | None:
    """How many pairs of methods one target's rows tell apart, and what makes their intervals wide."""
    scores = [row for row in rows if row["method"] not in CONTROLS and row["score_low"] is not None]
    made_of = [row["score_from_seeds"] for row in scores if row["score_from_seeds"] is not None]
    if not made_of:
        return None
    pairs, certain = _pairs(_ranked(_methods(rows)))
    width = median(row["score_high"] - row["score_low"] for row in scores)
    seeds, targets = max(row["seeds"] for row in scores), max(row["targets"] for row in scores)
    return (
        f"{len(certain)} of {pairs} pairs of ranked methods are told apart. The interval of a score is "
        f"{number(width, DIGITS)} wide (median): {share(fmean(made_of))} of its variance comes from seeds "
        f"and targets ({seeds} and {targets}), the rest from facts."
    )


def _who(rows: Sequence[Row], one: str, several: str) -> str:
    return f"{_names(rows)} {one if len(rows) == 1 else several}"


def _names(rows: Sequence[Row]) -> str:
    return _listed([method_label(row) for row in rows], MOST_NAMES)


def _with_reasons(rows: Sequence[Row], column: str, one: str = "", several: str = "") -> str:
    named = [method_label(row) + (f" ({row[column]})" if row[column] else "") for row in rows]
    return f"{_listed(named, MOST_REASONS)} {one if len(rows) == 1 else several}".strip()


def _listed(names: Sequence[str], most: int, last: str = " and ") -> str:
    """``a, b and c``; of more than ``most`` the first, and how many others."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return last.join(filter(None, (", ".join(names[:-1]), names[-1])))
