"""The templates of the pages: jinja2, in which an unknown name is an error and line tags leave no line."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..leaderboard.columns import Estimate
from ..leaderboard.format import percent
from ..leaderboard.ranking import LEAST_KEPT


@lru_cache
def environment(escape: bool) -> Environment:
    """The environment of the templates beside this file, each read once; ``escape`` is for HTML."""
    made = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=escape,
        undefined=StrictUndefined,
        keep_trailing_newline=not escape,
        trim_blocks=not escape,
        lstrip_blocks=not escape,
    )
    made.globals["least_kept"] = percent(Estimate(LEAST_KEPT))
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made
