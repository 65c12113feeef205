"""Sites of several versions beside each other: a folder for each, and pages that know of the others."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness.plugins.discovery import DISTRIBUTION

from .text import DocsError

MARK = "searchindex.js"
"""A file of every site."""

PUBLISHED = Path("_static") / "published.js"
"""Where a site's pages look for the other versions."""

HOME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={newest}/index.html">
<title>unlearning-harness: documentation</title>
<ul>
{links}
</ul>
</html>
"""


def version() -> str:
    """Of the package that is documented."""
    return metadata.version(DISTRIBUTION)


def alone(pages: Path) -> None:
    """Say in the sources of a site that it knows of no other version."""
    (pages / PUBLISHED).write_text(_known({}))


def publish(site: Path, root: Path, name: str) -> None:
    """Put a site into ``root`` as that of a version, in place of an earlier one, and tell all sites of it.

    What a web server shows is ``root``: its home page leads to the newest version that is no pre-release, or
    to the newest. Raises DocsError where something else than a site is in the way.
    """
    place = root / name
    if place.exists() and not (place / MARK).is_file():
        raise DocsError(f"{place} holds something else than a site; name another folder with --publish.")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(site, place)
    there = _versions(root)
    known = _known({each: _pages(root / each) for each in there})
    for each in there:
        (root / each / PUBLISHED).write_text(known)
    newest = next((each for each in there if not Version(each).is_prerelease), there[0])
    links = "\n".join(f'<li><a href="{each}/index.html">{each}</a></li>' for each in there)
    (root / "index.html").write_text(HOME.format(newest=newest, links=links))


def _versions(root: Path) -> list[str]:
    """The versions whose sites are there, the newest first."""
    found = {}
    for mark in root.glob(f"*/{MARK}"):
        try:
            found[Version(mark.parent.name)] = mark.parent.name
        except InvalidVersion:
            continue  # a site of something else
    return [found[each] for each in sorted(found, reverse=True)]


def _pages(site: Path) -> list[str]:
    return sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html"))


def _known(pages: dict[str, list[str]]) -> str:
    return f"const PUBLISHED = {json.dumps(pages, separators=(',', ':'))};\n"
