"""Registers a class that is no method."""

import harness
from harness import Register


class Loose:
    """Derives from nothing."""

    name = "loose"


@harness.hookimpl
def register_methods(register: Register) -> None:
    """Register it all the same."""
    register("loose", Loose)
