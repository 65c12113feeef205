"""The templates of the pages: jinja2, in which an unknown name is an error and line tags leave no line."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..leaderboard.columns import Estimate
from ..leaderboard.format import percent
from ..leaderboard.ranking import LEAST_KEPT


def environment(escape: bool) -> Environment:
    """The environment of the templates beside this file; ``escape`` is for HTML."""
    made = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=escape,
        undefined=StrictUndefined,
        keep_trailing_newline=not escape,
        trim_blocks=not escape,
        lstrip_blocks=not escape,
    )
    made.globals["least_kept"] = percent(Estimate(LEAST_KEPT))
    return made
