"""Public names are words of the field: those that only this project understood do not come back."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from support.paths import ROOT

ROOMS = ("harness", "methods", "modifiers", "attacks", "benchmarks", "analyses")

WORDS = frozenset(
    [
        "apart",
        "asked",
        "broken",
        "draw",
        "finding",
        "found",
        "gate",
        "judge",
        "lab",
        "meant",
        "mend",
        "own",
        "place",
        "seen",
        "shown",
        "told",
        "wanted",
    ]
)
"""Words that are part of no public name."""

CONSTANTS = frozenset(
    ["BACK", "BY_NAME", "FALL", "FEW", "KEPT", "KNOWS", "LEAST", "LOOSE", "NAMED", "SEVERAL", "SLACK", "STAY"]
)
"""Whole names of constants that say nothing where they are used."""

CLASSES = frozenset({"Attacking", "Part", "Subject", "Texts", "Tokens", "Unlearning"})
FUNCTIONS = frozenset({"become_retrained", "lowest_rate"})
MODULES = frozenset(
    ["about", "agreement", "cells", "command", "complete", "execute", "new", "published", "work"],
)
"""Whole names of files."""

ALLOWED = {
    # A plugin that cannot be loaded is broken, and everybody says so.
    "BrokenPlugin",
    "broken",
    # One number of an analysis; what the leaderboard says in sentences is its `findings`.
    "Finding",
}


def public_names(file: Path) -> Iterator[tuple[str, str]]:
    """(kind, name) of a file and of all it defines: classes, fields, functions, parameters, constants."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    yield "module", file.stem
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield "class", node.name
            yield from (("field", name) for name in assigned(node.body))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.name
            a = node.args
            parameters = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
            yield from (("parameter", parameter.arg) for parameter in parameters if parameter)
    yield from (("constant", name) for name in assigned(tree.body))


def assigned(body: list[ast.stmt]) -> Iterator[str]:
    """The names that statements assign to."""
    for statement in body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def old(kind: str, name: str) -> bool:
    """Whether a public name is, or holds, a word that was given up."""
    if name.startswith("_"):
        return False
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
    whole = {"constant": CONSTANTS, "class": CLASSES, "function": FUNCTIONS, "module": MODULES}
    return not WORDS.isdisjoint(words) or name in whole.get(kind, ())


def old_names() -> dict[str, set[str]]:
    """By old name that is in use, the files and what it names there."""
    uses = defaultdict(set)
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    for file in files:
        for kind, name in public_names(file):
            if old(kind, name):
                uses[name].add(f"{file.relative_to(ROOT)} ({kind})")
    return dict(uses)


def test_no_public_name_is_of_the_old_vocabulary():
    new = {name: sorted(where) for name, where in old_names().items() if name not in ALLOWED}
    assert new == {}, "say it in a word of the field"


def test_every_allowed_name_is_there():
    assert ALLOWED - set(old_names()) == set()


def test_old_words_are_recognised_in_every_kind_of_public_name(tmp_path):
    file = tmp_path / "shown.py"
    file.write_text(
        "FEW = 1\nclass Wanted:\n    asked: int = 0\n    def lowest_rate(self, place, *told): ...\n"
        "class Tokens: ...\ndef _draw(few, subject, placement): ...\ndef fewer(): ...\n"
    )
    assert {name for kind, name in public_names(file) if old(kind, name)} == {
        *("shown", "FEW", "Wanted", "asked", "lowest_rate", "place", "told", "Tokens")
    }
