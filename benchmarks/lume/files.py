"""Read LUME's records as facts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness import Fact

from ..passages import to_continue
from ..records import Record
from ..tables import find_table, read_table

FORGET, RETAIN = ("forget", "forget_train"), ("retain", "retain_train")
"""Names of the tables, of the authors' repository and of the shared task."""

MEMBER, NONMEMBER = "member", "nonmember"
"""Tables of membership inference, which the repository does not hold: field ``document``."""

TASKS = ("task1", "task2", "task3")
"""Stories, made-up people with their data, and people of Wikipedia."""

KINDS = {"sc": "regurgitation", "qa": "knowledge"}
"""By what follows the document in an ``id``, what its score is called."""

ID = re.compile(r"(.+?)(sc|qa)(\d+)")


class Item(NamedTuple):
    """What the id of a fact says: ``task1``, the document, ``sc`` or ``qa``."""

    task: str
    document: str
    kind: str


def item(fact: Fact) -> Item:
    """The parts of a fact's id, which is ``task/document`` with kind and number."""
    task, _, rest = fact.id.partition("/")
    document, kind, _ = ID.fullmatch(rest.partition(" ")[0]).groups()  # type: ignore[union-attr]
    return Item(task, document, kind)


def read_facts(
    directory: Path, names: tuple[str, ...], framed: bool = False, unlike: Sequence[Fact] = ()
) -> tuple[Fact, ...]:
    """The facts of a table; those of a document share their ``subject``.

    Texts (``sc``) are passages to continue, and so are questions (``qa``) unless they are ``framed``. An id
    that stands for two texts gets the row's number. Raises DataError for the first record that is not in
    LUME's schema, was there before, or is one of ``unlike``.
    """
    facts: dict[str, Fact] = {}
    taken, seen = {fact.id for fact in unlike}, set()
    for number, record in enumerate(read_table(directory, *names), 1):
        task, name, kind = _item(record)
        begin, end, text = to_continue(record.text("input"), record.text("output"))
        if (task, name, text) in seen:
            raise record.error(f"the item '{name}' of {task} was there before, in the same words")
        seen.add((task, name, text))
        key = f"{task}/{name}"
        if key in taken:
            raise record.error(f"expected no item of the forget set, found one: '{name}' of {task}")
        key = f"{key} {number}" if key in facts else key
        passage = "" if framed and kind == "qa" else text
        document = f"{task} {name[: ID.fullmatch(name).end(1)]}"  # type: ignore[union-attr]
        facts[key] = Fact(key, begin, end, subject=document, passage=passage)
    return tuple(facts.values())


def _item(record: Record) -> tuple[str, str, str]:
    """Task, id without quotation marks, and kind of a record."""
    said = record.text("task")
    task = "task" + said.lower().replace(" ", "").removeprefix("task")
    if task not in TASKS:
        raise record.error(f"expected Task1, Task2 or Task3 in 'task', found '{said}'")
    name = record.text("id").replace('"', "").strip()
    if not (parts := ID.fullmatch(name)) or "/" in name or " " in name:
        raise record.error(
            f"expected a document's id followed by sc or qa and a number in 'id', found '{record.text('id')}'"
        )
    return task, name, parts[2]


def read_documents(directory: Path, name: str) -> tuple[Fact, ...]:
    """The documents of membership inference, where their table is there; none otherwise.

    Raises DataError for one that is no text of two words or more, or was there before.
    """
    if not find_table(directory, name):
        return ()
    facts: dict[str, Fact] = {}
    for number, record in enumerate(read_table(directory, name), 1):
        first, *rest = record.text("document").split(maxsplit=1)
        if not rest:
            raise record.error("expected at least two words in 'document'")
        begin, end, text = to_continue(first, rest[0])
        if text in facts:
            raise record.error("this document was there before")
        facts[text] = Fact(f"{name} {number}", begin, end, passage=text)
    return tuple(facts.values())
