"""A notebook as a page: its text, its code, and what the code showed."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .text import fenced


def notebook(source: Path, page: Path) -> str:
    """Return the Markdown of a notebook, and write its pictures beside the page."""
    cells = json.loads(source.read_text())["cells"]
    return "\n".join(
        part for i, cell in enumerate(cells) for part in _cell(cell, page.with_name(f"{page.stem}-{i}"))
    )


def _cell(cell: dict[str, Any], picture: Path) -> Iterator[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield f"{text}\n"
        return
    yield fenced(text, "python")
    printed = "".join(
        "".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"
    )
    if printed:
        yield fenced(printed.rstrip(), "text")
    for output in cell["outputs"]:
        yield from _shown(output, picture)


def _shown(output: dict[str, Any], picture: Path) -> Iterator[str]:
    """What one output shows, in the richest form that a page can hold."""
    data = output.get("data", {})
    if output["output_type"] == "error":
        yield fenced(f"{output['ename']}: {output['evalue']}", "text")
    elif "image/png" in data:
        path = picture.with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b64decode("".join(data["image/png"])))
        yield f"![What the code above draws]({path.name})\n"
    elif "text/html" in data:
        made = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
        made = re.sub(r"<table[^>]*>", '<table class="docutils">', made)
        lines = [line for line in made.splitlines() if line.strip()]  # an empty line would end the HTML
        yield "\n".join(['<div class="output">', *lines, "</div>", ""])
    elif "text/plain" in data:
        yield fenced("".join(data["text/plain"]), "text")
