"""A small fictional data set in MUSE's schema."""

from __future__ import annotations

from pathlib import Path

from support.lume_files import FOODS, NAMES, TOWNS, TRADES
from support.tables import write


def text(number: int) -> str:
    """A piece of news in 24 words."""
    name, town, trade, food = (words[number % 12] for words in (NAMES, TOWNS, TRADES, FOODS))
    other = TOWNS[(number + 5) % 12]
    return (
        f"{name} the {trade} of {town} sold {number} {food} on Monday .\n"
        f"Then {name} went from {town} to {other} and met a {TRADES[(number + 7) % 12]} there ."
    )


def pair(number: int) -> dict[str, str]:
    """A question about it, with its answer."""
    name, food = NAMES[number % 12], FOODS[number % 12]
    return {"question": f"What did {name} sell {number} of ?", "answer": f"{number} {food}"}


def write_muse(folder: Path, suffix: str = ".json", count: int = 4) -> Path:
    """The files of the hub: forgotten are the first texts, then come retained ones and the holdout."""

    def texts(*numbers: int):
        plain = [text(number) for number in numbers]
        return plain if suffix == ".json" else [{"text": each} for each in plain]

    first, second, third = (range(count * part, count * (part + 1)) for part in range(3))
    tables = {
        "raw/forget": texts(*first),
        "raw/retain1": texts(*second),
        "raw/retain2": texts(*second, *third),
        "scal/forget_2": texts(*first, *range(40, 40 + count)),
        "sust/forget_1": texts(*range(50, 50 + count)),
        "privleak/forget": texts(*first),
        "privleak/holdout": texts(*range(60, 60 + count)),
        "knowmem/forget_qa": [pair(number) for number in first],
        "knowmem/forget_qa_icl": [pair(number) for number in range(70, 72)],
        "knowmem/retain_qa": [pair(number) for number in second],
        "knowmem/retain_qa_icl": [pair(number) for number in range(80, 82)],
    }
    excerpts = [text(number).split() for number in first]
    tables["verbmem/forget"] = [
        {"prompt": " ".join(words[:9]), "gt": " ".join(words[9:])} for words in excerpts
    ]
    for name, rows in tables.items():
        write(folder / f"{name}{suffix}", rows)
    return folder
