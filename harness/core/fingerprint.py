"""Fingerprints of source code: of the engine, and of what a plugin's class is made of."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from .keys import file_digest, key
from .live_source import is_live, live_source

HARNESS = Path(__file__).parent.parent
ROOMS = ("core", "model", "scoring", "engine")
"""The rooms whose code decides numbers. Planning, storing and showing them is not among them."""

PLUGINS = ("methods", "modifiers", "attacks", "benchmarks", "analyses")
"""Where the built-in plugins lie when the package is installed from a wheel; elsewhere they lie beside it."""


@lru_cache
def engine_fingerprint(root: Path = HARNESS) -> str:
    """SHA-256 over every source file of the rooms in ``ROOMS``, by its path below ``root``."""
    files = (file for room in ROOMS for file in (root / room).rglob("*.py"))
    return key(["engine", sorted((file.relative_to(root).as_posix(), file_digest(file)) for file in files)])


@lru_cache
def source_fingerprint(cls: type) -> str:
    """SHA-256 over the source a plugin class is made of.

    That is the module that defines it and each module of its bases, and, followed through their import
    statements, every module of the same package that they use: a helper counts, a sibling nobody imports does
    not. The engine is left out (see :func:`engine_fingerprint`). A package's own ``__init__`` counts only
    when something is imported from it by name; in it plugins are registered, which changes no number.

    That of a composition is made from those of its parts. Taken once per process, because that is the source
    that was loaded. Raises PluginError when there is none.
    """
    if parts := getattr(cls, "parts", ()):
        return key(["composition", [source_fingerprint(part) for part in parts]])
    sources: dict[str, bytes] = {}
    for base in cls.__mro__:
        top = base.__module__.partition(".")[0]
        if top in sys.stdlib_module_names and top != "__main__" and _holds(base):
            continue
        file = _file_of(base.__module__)
        if file is None or (top == "__main__" and is_live(base)):
            sources |= {name: text.encode() for name, text in live_source(base).items()}
        elif not _of_the_harness(file):
            _collect(base.__module__, file, sources)
    return key(["source", {name: hashlib.sha256(text).hexdigest() for name, text in sources.items()}])


def _of_the_harness(file: Path) -> bool:
    """Whether a file belongs to the harness itself, and not to a plugin."""
    return file.is_relative_to(HARNESS) and file.relative_to(HARNESS).parts[0] not in PLUGINS


def _holds(cls: type) -> bool:
    """Whether the module that a class says it is from holds it: one executed from text may say anything."""
    return hasattr(sys.modules.get(cls.__module__), cls.__qualname__.partition(".")[0])


def _collect(name: str, file: Path, into: dict[str, bytes]) -> None:
    """Add the source of module ``name`` and of what it imports from its own package."""
    if name in into:
        return
    into[name] = file.read_bytes()
    if file.suffix != ".py":
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    own = {name.partition(".")[0], "harness"}  # a plugin may derive from a built-in one
    for module, attribute in _imports(ast.parse(into[name], filename=str(file)), package):
        if module.partition(".")[0] in own:
            found, imported = _file_of(module), module
            # `from a import b` is module a.b if there is one, and otherwise something defined in a.
            if attribute and (found is None or found.name == "__init__.py"):
                inner = _file_of(f"{module}.{attribute}")
                found, imported = (inner, f"{module}.{attribute}") if inner else (found, module)
            if found is not None and not _of_the_harness(found):
                _collect(imported, found, into)
        elif not package and "." not in module:
            # A plugin that is a single file has its helpers beside it and not in a package.
            found = _file_of(module)
            if found is not None and found.parent == file.parent:
                _collect(module, found, into)


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Each import statement anywhere in ``tree``, as an absolute module and the name taken from it or ""."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def _file_of(name: str) -> Path | None:
    """The file a module comes from, without executing it (only its parents); None if it has none."""
    module = sys.modules.get(name)
    if file := getattr(module, "__file__", None):
        return Path(file)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
