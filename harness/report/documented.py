"""Where the documentation of a leaderboard's names is, for the links of its pages.

It stands in the metadata of the table, so that pages follow from tables alone. Which pages there are is
looked up once, by whoever builds. A name without a page has no link.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from ..core.composition import JOINED
from ..errors import ConfigError, StoreError

METADATA = b"documentation"
FOLDERS = {"methods": "method", "attacks": "attack", "benchmarks": "benchmark"}
"""Folders of the documentation with a page for each plugin, and the column of the table that names it."""

MODIFIERS = "modifiers"
"""The folder with a page for each modifier: what follows the first name in ``npo+sam``."""

OTHERS = ("protocol", "reference/metrics", "analyses/")
"""Pages, and folders of them, to which a leaderboard may lead whatever it is of."""

SAFE = re.compile(r"(https?://[\w.:-]+/)?[\w./-]*")
"""What a place or a name is made of: whoever wrote the table, it is no script."""


@dataclass(frozen=True, slots=True)
class Documented:
    """The pages of a documentation: ``base`` + name + ``suffix``, from the leaderboard's directory."""

    base: str
    suffix: str
    pages: tuple[str, ...]

    @classmethod
    def pages_in(cls, docs: Path, out: Path) -> Self:
        """The pages in a directory, for a leaderboard in ``out``. Raises ConfigError where there are none."""
        paths = [path for folder in (*FOLDERS, ".", "*") for path in sorted(docs.glob(f"{folder}/*.md"))]
        if not any(path.parent.name in FOLDERS for path in paths):
            raise ConfigError(
                f"{docs} holds no documentation: name a directory with methods/NAME.md and the like."
            )
        names = dict.fromkeys(path.relative_to(docs).with_suffix("").as_posix() for path in paths)
        base = Path(os.path.relpath(docs.resolve(), out.resolve())).as_posix()
        return cls(f"{base}/", ".md", tuple(names))

    @classmethod
    def of(cls, board: pa.Table) -> Self | None:
        """What the table of a leaderboard says; None where it says nothing. Raises StoreError."""
        text = (board.schema.metadata or {}).get(METADATA)
        if text is None:
            return None
        try:
            told = json.loads(text)
            made = cls(told["base"], told["suffix"], tuple(told["pages"]))
            if not all(SAFE.fullmatch(part) for part in (made.base, made.suffix, *made.pages)):
                raise ValueError("a part of it is no address")
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"A leaderboard's table does not say where the documentation is ({error}): build it again."
            ) from error
        return made

    def marked(self, board: pa.Table) -> pa.Table:
        """The table with those of these pages in its metadata to which it leads: others may come and go."""
        named = set()
        for folder, column in FOLDERS.items():
            for text in board[column].unique().to_pylist():
                name, *modifiers = text.split(JOINED)
                named |= {f"{folder}/{name}", *(f"{MODIFIERS}/{modifier}" for modifier in modifiers)}
        pages = tuple(page for page in self.pages if page in named or page.startswith(OTHERS))
        told = json.dumps(asdict(self) | {"pages": pages}, separators=(",", ":"))
        return board.replace_schema_metadata({**(board.schema.metadata or {}), METADATA: told})
