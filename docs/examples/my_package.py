"""What the entry point names: the hooks that register a package's plugins."""

from harness import Register, hookimpl


@hookimpl
def register_methods(register: Register) -> None:
    """Paths and not classes, so that `harness list` imports no torch."""
    register("bounded", "bounded:Bounded")
