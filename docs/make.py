"""Builds the documentation: finished Markdown in build/docs, and the site from it in site/."""

from __future__ import annotations

import argparse
from pathlib import Path

from docgen import versions
from docgen.site import build, write
from docgen.text import DocsError

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write the pages, then build the site; whatever is wrong with either ends in an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=Path, default=ROOT / "build" / "docs", help="where the Markdown goes")
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="where the site goes")
    parser.add_argument(
        "--publish", type=Path, metavar="DIR", help="copy the site to DIR, beside other versions"
    )
    given = parser.parse_args()
    try:
        write(given.pages)
        if code := build(given.pages, given.site):
            raise SystemExit(code)
        if given.publish:
            versions.publish(given.site, given.publish, versions.version())
    except DocsError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
