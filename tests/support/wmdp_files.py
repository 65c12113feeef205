"""A small harmless data set in WMDP's schema, with corpora."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.lume_files import FOODS, TOWNS
from support.muse_files import text
from support.tables import write


def question(number: int) -> dict[str, Any]:
    """Four towns, one of them right."""
    choices = [TOWNS[(number + step) % 12] for step in range(4)]
    return {
        "question": f"Where is {number} {FOODS[number % 12]} sold ? ",
        "choices": choices,
        "answer": number % 4,
    }


def write_wmdp(folder: Path, suffix: str = ".json", count: int = 12) -> Path:
    """The questions and both corpora."""
    rows = [question(number) for number in range(count)]
    if suffix == ".csv":
        rows = [row | {"choices": json.dumps(row["choices"])} for row in rows]
    write(folder / f"wmdp-bio{suffix}", rows)
    for part, first in (("forget", 0), ("retain", 20)):
        texts = [{"text": text(number)} for number in range(first, first + 6)]
        write(folder / f"bio-{part}-corpus{suffix}", texts)
    return folder
