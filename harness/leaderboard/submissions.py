"""What is wrong with the cells of a submission, as far as numbers and names alone can tell.

A cell by itself has been looked at before (``store.integrity``). Here it is held against the other cells of
the submission, the configurations beside them, and cells that maintainers have committed. Whoever forges all
of that consistently is found by making a cell again, and in no other way.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ..core.composition import JOINED
from ..core.names import ANALYSIS, CONTROLS, EVALUATION, NO_ATTACK, ORIGINAL, RETRAIN
from ..store.schema import PROTOCOL, cell_name
from .reading import FORGET, Cell

Row = Mapping[str, Any]
Config = Mapping[str, Any]
"""The resolved options of a run."""

SAME = ("protocol", "benchmark", "benchmark_config", "data_fingerprint", "model", "dtype")
"""Columns in which cells agree that measure the same thing on the same model, by whatever version."""

UNDER = ("stage", "attack", "variant", "attack_config")

PLUGIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\+[a-z0-9][a-z0-9_-]*)*")
OWNER = re.compile(r"[A-Za-z0-9][\w.-]{0,99} [A-Za-z0-9][\w.+!-]{0,99}|", re.ASCII)
"""A distribution and its version, or nothing."""

TEXT = re.compile(r"[\w .,:;=+/@()\[\]%-]{0,200}")
"""What may stand for a variant or a model: nothing that a page or a terminal could act on."""

GAP = 0.05
"""How far two 95 % intervals of one number may lie beside each other before it counts as another number."""

VARIED = 8
"""Different values strictly between 0 and 1 that two cells share only if they are of one model."""

OURS = "unlearning-harness"


@dataclass(frozen=True, slots=True)
class Submitted:
    """What is looked at: the cells, and all that they are held against."""

    cells: Sequence[Cell]
    configs: Sequence[Config]
    committed: Sequence[Cell]
    """Of maintainers."""
    built_in: Mapping[str, Set[str]]
    """By ``method``, ``attack``, ``benchmark`` and ``analysis``, the names that the harness itself has."""

    @property
    def all(self) -> list[Cell]:
        """Those of maintainers first."""
        return [*self.committed, *self.cells]


def problems(submitted: Submitted) -> list[str]:
    """A sentence for everything that does not hold, each once, in the order of the rules."""
    return [*dict.fromkeys(sentence for rule in RULES for sentence in rule(submitted))]


def admitted(cells: Iterable[Cell], committed: Iterable[Cell]) -> list[Cell]:
    """The cells that a board shows: those of which it holds none yet, under whatever seed.

    So nobody's cells stand in the place of others, and none join the seeds of others' rows.
    """
    taken = {_place(cell.row) for cell in committed}
    return [cell for cell in cells if _place(cell.row) not in taken]


def _place(row: Row) -> tuple[Any, ...]:
    """What a cell adds to a board. A control is the same whoever brings it."""
    owner = "" if row["method"] in CONTROLS else row["method_plugin"].rpartition(" ")[0]
    config = "" if row["method"] in CONTROLS else row["method_config"]
    attack = row["attack_plugin"].rpartition(" ")[0]
    return (*_of(row, SAME), row["method"], owner, config, *_of(row, UNDER), attack, row["analysis"])


def _named(submitted: Submitted) -> Iterator[str]:
    """Names are those that a plugin can have, and the harness's own names are of the harness."""
    for cell in submitted.cells:
        row = cell.row
        for kind in ("benchmark", "method", "attack", "analysis"):
            name, owner = row[kind], row[f"{kind}_plugin"]
            if not all(OWNER.fullmatch(part) for part in owner.split(" + ")):
                yield f"{owner!r:.80} is no distribution with its version, in the column '{kind}_plugin'"
            if kind != "method" and name in ("", NO_ATTACK):
                continue
            if not PLUGIN_NAME.fullmatch(name):
                yield f"{name!r:.80} is no name of a plugin, as the {kind} of the cell {row['key'][:12]}"
                continue
            parts, built_in = name.split(JOINED), submitted.built_in[kind]
            ours = all(part.startswith(f"{OURS} ") for part in owner.split(" + "))
            if ours and not built_in >= {*parts}:
                yield f"the {kind} '{name}' says that it comes from {OURS}, which has none of that name"
            if not ours and len(parts) == 1 and name in built_in:
                yield f"the {kind} '{name}' has a name of {OURS}, and comes from {owner or 'nowhere'}"
        for column in ("variant", "model"):
            if not TEXT.fullmatch(row[column]):
                yield f"{row[column]!r:.80} is no {column} to publish: use plain words, at most 200 letters"


def _of_this_protocol(submitted: Submitted) -> Iterator[str]:
    """All is measured as on the board: one protocol, and no limit of damage."""
    for protocol in sorted({cell.row["protocol"] for cell in submitted.cells} - {PROTOCOL}):
        yield f"cells are of protocol {protocol!r:.80}, and the board is of {PROTOCOL!r}"


def _renamed(submitted: Submitted) -> Iterator[str]:
    """The code of a method that maintainers know has the name that it has there."""
    names: dict[str, set[str]] = defaultdict(set)
    for cell in submitted.committed:
        names[cell.row["method_source"]].add(cell.row["method"])
    for cell in submitted.cells:
        known = names.get(cell.row["method_source"], set())
        if cell.row["method_source"] and known and cell.row["method"] not in known:
            yield f"the method '{cell.row['method']}' has the code of {' and '.join(sorted(known))}"


def _configured(submitted: Submitted) -> Iterator[str]:
    """Each cell is of a run whose configuration is there."""
    for cell in submitted.cells:
        if not any(is_of(cell.row, config) for config in submitted.configs):
            yield f"no configuration in runs/ makes the cell {_name(cell)}"


def is_of(row: Row, config: Config) -> bool:
    """Whether a run of this configuration has a cell with these columns."""
    attacks = {row["attack"], ":".join(filter(None, (row["attack"], row["variant"])))}
    model = config.get("original") or config["model"]
    return (
        row["benchmark"] in config["benchmarks"]
        and (row["method"] in config["methods"] or (config["controls"] and row["method"] in CONTROLS))
        and (NO_ATTACK in attacks or not attacks.isdisjoint(config["attacks"]))
        and (row["stage"] != ANALYSIS or row["analysis"] in config["analyses"])
        and row["model"] in (model, model.partition("@")[0], model.rstrip("/").rpartition("/")[2])
        and row["seed"] < config["seeds"]
        and row["dtype"] == config["dtype"]
        and _set_alike(row, config["settings"])
    )


def _set_alike(row: Row, settings: Mapping[str, Any]) -> bool:
    """Whether settings of benchmark and method are what the configuration sets, where it sets them.

    Those of attacks are left out: a variant sets its own. Text may stand for a file, keyed by its content.
    """
    for kind in ("benchmark", "method"):
        has, parts = json.loads(row[f"{kind}_config"]), row[kind].split(JOINED)
        for name, value in settings.items():
            owner, _, setting = name.partition(".")
            own = setting if owner == parts[0] else name
            if owner in parts and has.get(own, value) != value and not isinstance(value, str):
                return False
    return True


def _on_known_data(submitted: Submitted) -> Iterator[str]:
    """A benchmark with the same settings asks the same facts, here as in the committed cells."""
    facts: dict[tuple, str] = {}
    for cell in submitted.all:
        which = _of(cell.row, ("benchmark", "benchmark_config", "model"))
        known = facts.setdefault(which, cell.row["data_fingerprint"])
        if cell.row["data_fingerprint"] != known:
            yield (
                f"{_name(cell)} asks other facts ({cell.row['data_fingerprint'][:12]}) than other cells on "
                f"{cell.row['benchmark']} with the same settings ({known[:12]})"
            )


def _controlled(submitted: Submitted) -> Iterator[str]:
    """Beside each method stand the controls that it is compared with, under the same attack."""
    there = {(_of(c.row, SAME), c.row["method"], _of(c.row, UNDER)) for c in submitted.all}
    for cell in submitted.cells:
        row = cell.row
        if row["method"] in CONTROLS or row["stage"] == ANALYSIS:
            continue
        for control in (ORIGINAL, *((RETRAIN,) if row["reference_key"] else ())):
            if (_of(row, SAME), control, _of(row, UNDER)) not in there:
                yield f"{_name(cell, seed=False)} has no '{control}' beside it; run with controls"


def _original_knows(submitted: Submitted) -> Iterator[str]:
    """Of a model that does not know the facts nothing can be said: the original is above chance."""
    for cell in submitted.cells:
        if cell.row["method"] == ORIGINAL and cell.row["stage"] == EVALUATION:
            low, chance = _forget(cell).get("low"), cell.notes.get("chance")
            if low is not None and chance is not None and low <= chance:
                yield f"{_name(cell)} is not above chance ({low:.3g} to {chance:.3g}): the model never knew"


def _no_more_than_original(submitted: Submitted) -> Iterator[str]:
    """No method knows more of the forget set than the original does under the same attack."""
    highest: dict[tuple, float] = defaultdict(lambda: -1.0)
    for cell in submitted.all:
        if cell.row["method"] == ORIGINAL and (high := _forget(cell).get("high")) is not None:
            which = (_of(cell.row, SAME), _of(cell.row, UNDER))
            highest[which] = max(highest[which], high)
    for cell in submitted.cells:
        most = highest.get((_of(cell.row, SAME), _of(cell.row, UNDER)))
        low = _forget(cell).get("low")
        if cell.row["method"] == ORIGINAL or most is None or low is None:
            continue
        if low > most + GAP:
            yield f"{_name(cell)} knows {low:.3g} or more, and the original at most {most:.3g}"


def _as_committed(submitted: Submitted) -> Iterator[str]:
    """What maintainers have measured, too, came out alike: the intervals over facts meet."""
    columns = (*SAME, "method", "method_config", *UNDER)
    known: dict[tuple, list[Row]] = defaultdict(list)
    for cell in submitted.committed:
        for measured, final in cell.finals.items():
            known[*_of(cell.row, columns), measured].append(final)
    for cell in submitted.cells:
        for measured, final in cell.finals.items():
            others = known.get((*_of(cell.row, columns), measured), [])
            if others and all(_apart(final, other) for other in others):
                yield (
                    f"{'.'.join(measured)} of {_name(cell)} is {final['value']:.4g}, and "
                    f"{others[0]['value']:.4g} in the committed cells: farther apart than their intervals"
                )


def _apart(one: Row, other: Row) -> bool:
    if None in (one["low"], other["low"]):
        return False
    return max(one["low"], other["low"]) > min(one["high"], other["high"]) + GAP


def _copied(submitted: Submitted) -> Iterator[str]:
    """No two methods have the same numbers to the last digit, unless both left the original as it was."""
    first: dict[tuple, Cell] = {}
    for cell in submitted.all:
        values = {value for facts in cell.facts.values() for value in facts.values() if 0 < value < 1}
        if len(values) < VARIED:
            continue
        facts = ((*at, *pair) for at, own in cell.facts.items() for pair in own.items())
        other = first.setdefault((_of(cell.row, (*SAME, *UNDER)), tuple(sorted(facts))), cell)
        names = [{*each.row["method"].split(JOINED)} for each in (cell, other)]
        if names[0].isdisjoint(names[1]) and ORIGINAL not in names[0] | names[1]:
            yield f"{_name(cell)} has to the last digit the numbers of {_name(other)}"


Rule = Callable[[Submitted], Iterator[str]]
RULES: tuple[Rule, ...] = (
    *(_named, _of_this_protocol, _renamed, _configured, _on_known_data, _controlled),
    *(_original_knows, _no_more_than_original, _as_committed, _copied),
)


def _of(row: Row, columns: Iterable[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in columns)


def _forget(cell: Cell) -> Mapping[str, Any]:
    """The final value of the metric that says what is left of the forget set, before or under an attack."""
    return cell.finals.get((FORGET, str(cell.notes.get("forget_metric"))), {})


def _name(cell: Cell, seed: bool = True) -> str:
    name = cell_name(cell.row)
    return name if seed else name.rpartition(" seed ")[0]
