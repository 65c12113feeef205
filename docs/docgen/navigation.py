"""The pages of the site in the order of its navigation. A page that is not here is an error of the build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry

NOTEBOOKS = {"docs/notebooks/first_run.ipynb": "notebooks/first_run"}
BOARD = {"leaderboard/README.md": "leaderboard", "leaderboard/real/README.md": "leaderboard-real"}
SECURITY = {"SECURITY.md": "security"}
"""Pages made of files that are not Markdown of docs/, by the place of the file."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Tutorial": ("tutorial/first-row", "tutorial/own-method", *NOTEBOOKS.values()),
    "How to": (
        "howto/tofu-data",
        "howto/faithun-data",
        "howto/text-data",
        "howto/own-model",
        "howto/own-checkpoint",
        "howto/wrap-a-method",
        "howto/own-modifier",
        "howto/own-attack",
        "howto/own-benchmark",
        "howto/own-analysis",
        "howto/gpu",
        "howto/cluster",
        "howto/sharded",
        "howto/offline",
        "howto/container",
        "howto/parquet",
        "howto/paper",
        "howto/publish",
        "howto/track",
        "howto/resume",
        "howto/compare",
        "howto/submit",
        "howto/not-ranked",
        "cli",
    ),
    "Plugins": ("methods/index", "modifiers/index", "attacks/index", "benchmarks/index", "analyses/index"),
    "Results": (*BOARD.values(), "protocol"),
    "Reference": (
        "reference/cli",
        "reference/python",
        "reference/hooks",
        "reference/classes",
        "reference/engine",
        "reference/metrics",
        "reference/tables",
        "reference/errors",
    ),
    "Inside": (
        "architecture",
        "contributing",
        "performance",
        "predictors",
        "compared",
        "reliability",
        *SECURITY.values(),
    ),
}


def below(uri: str, registry: Registry) -> str:
    """What stands below a page in the navigation: all sections below home, each plugin below its kind."""
    if uri == "index.md":
        return "\n".join(_toctree(pages, title) for title, pages in SECTIONS.items())
    kinds = {f"{kind.plural}/index.md": registry.kinds[kind] for kind in Kind}
    return _toctree(kinds[uri]) if uri in kinds else ""


def _toctree(pages: Iterable[str], caption: str = "") -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["```{toctree}", *options, "", *pages, "```", ""])
