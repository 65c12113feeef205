"""A small fictional data set in LUME's schema."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from support.tables import write

NAMES = ["Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jo", "Kim", "Lea"]
TOWNS = ["Oslo", "Rome", "Lima", "Bonn", "Kiev", "Bern", "Nice", "York", "Cork", "Riga", "Baku", "Doha"]
TRADES = [
    "baker",
    "sailor",
    "tailor",
    "judge",
    "nurse",
    "miner",
    "poet",
    "guard",
    "tutor",
    "weaver",
    "farmer",
    "pilot",
]
FOODS = ["bread", "soup", "rice", "corn", "plums", "figs", "eggs", "cheese", "nuts", "beans", "pears", "kale"]


def rows(first: int, documents: int) -> list[dict[str, str]]:
    """Of each task some documents, each with a text to continue and questions; of people's data two."""
    found = []
    for number in range(first, first + documents):
        name, town, trade, food = (words[number % 12] for words in (NAMES, TOWNS, TRADES, FOODS))
        plain = str(UUID(int=number))
        asked = {
            # Ids as in the published files: in quotation marks, plain, and of a page.
            ("Task1", f'"{UUID(int=100 + number)}"'): (
                (f"Once {name} the {trade} went to {town} and", f"found some {food} there."),
                (f"What did the {trade} find?", f"Some {food}."),
            ),
            ("Task2", plain): (
                (f"{name} {trade} lives in {town}. The phone number", f"is {number} {number + 1} 5."),
                (f"What is the phone number of {name} {trade}?", f"{number}{number + 1}5"),
                (f"Where does {name} {trade} live?", town),
            ),
            ("Task3", str(7000 + number)): (
                (f"{name} is a {trade}. {name} was born in", f"{town} and eats {food}."),
                (f"Who is the {trade} of {town}?", name),
            ),
        }
        for (task, document), (text, *questions) in asked.items():
            found.append({"id": f"{document}sc1", "input": text[0], "output": text[1], "task": task})
            for k, (question, answer) in enumerate(questions):
                found.append({"id": f"{document}qa{k}", "input": question, "output": answer, "task": task})
    return found


def documents(first: int, count: int) -> list[dict[str, str]]:
    """Documents of membership inference."""
    return [
        {"id": str(n), "document": f"{NAMES[n % 12]} met a {TRADES[(n + 5) % 12]} in {TOWNS[n % 12]}."}
        for n in range(first, first + count)
    ]


def write_lume(folder: Path, count: int = 4, suffix: str = ".jsonl", membership: bool = False) -> Path:
    """The files of ``count`` documents of each task to forget, and as many to retain."""
    write(folder / "data" / f"forget{suffix}", rows(0, count))
    write(folder / "data" / f"retain{suffix}", rows(count, count))
    if membership:
        write(folder / f"member{suffix}", documents(0, count))
        write(folder / f"nonmember{suffix}", documents(count, count))
    return folder
