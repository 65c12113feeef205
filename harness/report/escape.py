"""Text of strangers as it may be shown, a function for each medium. In HTML jinja2 and the page see to it.

Names, variants, settings and errors come from plugins, directories and result files. Nothing in them may
move a cursor, hide, turn the reading direction, or become a link, an image, a tag or a column.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from itertools import chain, count
from unicodedata import category

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Kinds of characters that act and show nothing: control, format (bidirectional, too), half characters."""

SPECIAL = re.compile(
    r"[\\`*\[\]<>|&~#$]"  # emphasis, code, links, tags, columns, entities, headings, formulas
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word an underscore is one
    r"|^[-+=]|^\d+[.)](?!\S)"  # what begins a list, a line or a heading
)
LINK = re.compile(r"(?<=www)(?=\.)|(?=://)|(?<=@)", re.IGNORECASE)
"""Where GitHub sees an address without any brackets."""


def plain(text: str, lines: bool = True) -> str:
    """For a terminal: what acts and is not seen stands as ``\\x1b``, and so do new lines unless ``lines``."""
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(c if c in kept or category(c) not in UNSEEN else _code(c) for c in text)


@lru_cache(1 << 12)
def markdown(text: str) -> str:
    """For Markdown: one line that reads like the text and is nothing else, in a table as in a list."""
    line = plain(" ".join(text.split()), lines=False)
    line = SPECIAL.sub(lambda found: "".join(f"&#{ord(c)};" for c in found[0]), line)
    return LINK.sub("<!-- -->", line)


def picture(text: str) -> str:
    """For matplotlib, where dollars enclose a formula."""
    return plain(text, lines=False).replace("$", r"\$")


def file_name(text: str, taken: Collection[str] = ()) -> str:
    """For a file and a label: letters, digits and hyphens alone, and a number where that is ``taken``."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")
    return next(name for name in chain([stem], (f"{stem}-{n}" for n in count(2))) if name not in taken)


def _code(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
