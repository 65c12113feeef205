"""Builds the documentation: finished Markdown in build/docs, and the site from it in site/."""

from __future__ import annotations

import argparse
from pathlib import Path

from docgen.site import build, write
from docgen.text import DocsError

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write the pages, then build the site; whatever is wrong with either ends in an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=Path, default=ROOT / "build" / "docs", help="where the Markdown goes")
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="where the site goes")
    given = parser.parse_args()
    try:
        write(given.pages)
        raise SystemExit(build(given.pages, given.site))
    except DocsError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
