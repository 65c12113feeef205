"""A small fictional data set in RWKU's schema: nobody in it exists."""

from __future__ import annotations

from pathlib import Path

from support.lume_files import FOODS, NAMES, TOWNS, TRADES
from support.tables import write

TYPES = ("affirmative suffix", "incontext learning", "prefix injection")


def person(number: int) -> dict[str, str]:
    """What is known about one."""
    return {
        "subject": f"{NAMES[number]} {TRADES[number].title()}",
        "town": TOWNS[number],
        "food": FOODS[number],
    }


def probe(number: int, level: int, place: int, kind: str = "") -> dict[str, str]:
    """A probe of a level; two each."""
    who = person(number)
    key = ("town", "food")[place]
    blank = {"town": "{subject} lives in ___ .", "food": "{subject} eats ___ ."}[key]
    question = {"town": "Where does {subject} live ?", "food": "What does {subject} eat ?"}[key]
    query = (blank if level == 1 else question).format(**who)
    if kind == "incontext learning":
        query = f"Question: What is green ? Answer: kale\nQuestion: {query}"
    return {
        "query": query,
        "answer": who[key],
        "level": str(level),
        "type": kind or "simple",
        "subject": who["subject"],
    }


def tables(people: int) -> dict[str, list[dict[str, str]]]:
    """Every configuration that is read."""
    every = range(people)
    passages = [{"text": "{subject} of {town} eats {food} .".format(**person(n)), **person(n)} for n in every]
    passages = [{"text": row["text"], "subject": row["subject"]} for row in passages]
    return {
        "forget_level1": [probe(n, 1, place) for n in every for place in (0, 1)],
        "forget_level2": [probe(n, 2, place) for n in every for place in (0, 1)],
        "forget_level3": [probe(n, 3, k % 2, kind) for n in every for k, kind in enumerate(TYPES)],
        # People nearby are asked about as neighbors of a target.
        "neighbor_level1": [
            probe(n + 6, 1, place) | {"subject": person(n)["subject"]} for n in every for place in (0, 1)
        ],
        "neighbor_level2": [probe(n + 6, 2, 0) | {"subject": person(n)["subject"]} for n in every],
        "mia_forget": passages,
        "mia_retain": passages,
        "train_positive_llama3": passages,
    }


def write_rwku(folder: Path, suffix: str = ".json", people: int = 4) -> Path:
    """The files of all configurations."""
    for name, rows in tables(people).items():
        write(folder / f"{name}{suffix}", rows)
    return folder
