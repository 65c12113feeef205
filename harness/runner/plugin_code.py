"""A plugin's code that runs before there are cells: what it raises ends the run with a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import HarnessError, PluginError
from .record import explain


@contextmanager
def plugin_code(whose: str) -> Iterator[None]:
    """Raise PluginError for whatever is raised in here, but for Ctrl-C and what is a sentence already."""
    try:
        yield
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{whose} cannot be used: {explain(error)}.") from error
