"""Read RWKU's probes as facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import DataError, Fact, Prompt

from ..passages import dealt
from ..records import Record
from ..tables import find_table, read_table

HUB_ID = "jinzhuoran/RWKU"

BLANK = "Please complete the blank in the following question.\nQuestion: {query}\n"
ANSWER = "Please briefly answer the following question.\nQuestion: {query}\n"
EXAMPLES = "Please briefly answer the following question.\n{query}\n"
"""RWKU's prompts, literally: of level 1, of questions, and of questions that come with others."""

SUFFIX, CONTEXT = "affirmative suffix", "incontext learning"
"""Types of level 3 that are asked in their own way: the former says itself how the answer begins."""


def table(directory: Path, name: str) -> list[Record]:
    """The records of a configuration of the hub, or of a file of that name."""
    return read_table(directory, f"{name}/test", f"{name}/train", name)


def there(directory: Path, name: str) -> bool:
    """Whether such a table is there."""
    return bool(find_table(directory, f"{name}/test", f"{name}/train", name))


def targets_of(records: Iterable[Record]) -> list[str]:
    """The people with probes, in the order of the file."""
    return list(dict.fromkeys(record.text("subject") for record in records))


def probes(records: Sequence[Record], key: str, subjects: Sequence[str], level: int) -> tuple[Fact, ...]:
    """The probes about some people. Raises DataError for a record of another level or without a field."""
    facts = []
    for number, record in enumerate(records, 1):
        subject, query, answer = (record.text(field) for field in ("subject", "query", "answer"))
        if str(record.fields.get("level", level)) != str(level):
            raise record.error(f"expected '{level}' in 'level', found '{record.fields['level']}'")
        kind = record.text("type") if level == 3 else ""
        if subject in subjects:
            facts.append(Fact(f"{key} {number}{f' {kind}' if kind else ''}", query, answer, subject=subject))
    if lacking := [subject for subject in subjects if subject not in {fact.subject for fact in facts}]:
        raise DataError(records[0].table, f"there is no probe about {lacking[0]!r} in this table")
    return tuple(facts)


def prompt_of(fact: Fact, level: int) -> Prompt:
    """The prompt of a probe, by its level and, on the third, by the type in its id."""
    if level == 1:
        return Prompt(BLANK.format(query=fact.question), literal=True, opening="Answer:")
    if fact.id.endswith(SUFFIX):
        return Prompt(ANSWER.format(query=fact.question).removesuffix("\n"), literal=True)
    frame = EXAMPLES if fact.id.endswith(CONTEXT) else ANSWER
    return Prompt(frame.format(query=fact.question), literal=True, opening="Answer:")


def with_texts(facts: Sequence[Fact], records: Iterable[Record]) -> tuple[Fact, ...]:
    """Probes that are trained on as texts about the same person. Raises DataError for one without any."""
    texts: dict[str, list[str]] = {}
    for record in records:
        texts.setdefault(record.text("subject"), []).append(record.text("text"))
    found: list[Fact] = []
    for subject in dict.fromkeys(fact.subject for fact in facts):
        if subject not in texts:
            raise DataError("rwku.train", f"there is no text about {subject!r}; set rwku.train=probes")
        found += dealt([fact for fact in facts if fact.subject == subject], texts[subject])
    return tuple(found)


def documents(records: Sequence[Record], key: str, subjects: Sequence[str]) -> tuple[Fact, ...]:
    """Texts of membership inference about some people, as passages."""
    facts = []
    for number, record in enumerate(records, 1):
        text, subject = record.text("text").strip(), record.text("subject")
        first, *rest = text.split(maxsplit=1)
        if not rest:
            raise record.error("expected at least two words in 'text'")
        if subject in subjects:
            facts.append(Fact(f"{key} {number}", first, rest[0], subject=subject, passage=text))
    return tuple(facts)
