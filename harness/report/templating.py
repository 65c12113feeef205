"""The templates of the pages: jinja2, in which an unknown name is an error and line tags leave no line."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(escape: bool) -> Environment:
    """The environment of the templates beside this file; ``escape`` is for HTML."""
    return Environment(
        loader=PackageLoader("harness.report"),
        autoescape=escape,
        undefined=StrictUndefined,
        keep_trailing_newline=not escape,
        trim_blocks=not escape,
        lstrip_blocks=not escape,
    )
