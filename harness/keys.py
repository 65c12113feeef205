"""Content keys: the same inputs give the same key anywhere, and any changed input gives another one.

A key never depends on a path, a date or a version alone. What it depends on is decided by the caller; here
are the canonical form, the digests of data, files and source code, and the seeds derived from a cell's seed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import operator
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import PluginError
from .types import Fact, Question, Splits

ENGINE = Path(__file__).parent
ENGINE_FILES = (
    "types.py",
    "base.py",
    "metrics.py",
    "membership.py",
    "models.py",
    "tokens.py",
    "asked.py",
    "decode.py",
    "score.py",
    "losses.py",
    "neurons.py",
    "lora.py",
    "train.py",
    "targets.py",
    "run.py",
)
"""The engine files whose code decides numbers. Planning, storing and showing them is not among them."""

AXES = {
    "data": "which facts a benchmark or an attack picks",
    "init": "fresh weights: a model from scratch, a LoRA, a control vector",
    "order": "the order in which training sees its data",
    "attack": "what an attack draws: noise, samples",
}
"""Axes of randomness: stages on different axes never share a stream."""


def canonical(value: Any) -> str:
    """JSON with sorted keys, tuples as lists and floats by ``repr``: equal values give equal text.

    Raises TypeError for anything JSON has no word for (paths, sets, objects, keys that are not strings) and
    ValueError for NaN and infinity: what cannot be written cannot be compared either.
    """
    return json.dumps(_plain(value), sort_keys=True, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        # json would turn the key 1 into "1", and two different values would share a text.
        if odd := [k for k in value if not isinstance(k, str)]:
            raise TypeError(f"only strings can be keys of a keyed value, not {odd[0]!r}")
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} has no canonical form; pass its content ({value!r})")


def key(value: Any) -> str:
    """SHA-256 of the canonical form, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def derive(seed: int, *axes: str) -> int:
    """A seed in [0, 2**63) for one axis of ``AXES``, further divided by whatever names follow it.

    ``derive(0, "order")``, ``derive(0, "attack", "prompt")``. An axis that is not defined is a ValueError.
    """
    if not axes or axes[0] not in AXES:
        raise ValueError(f"the first axis must be one of {', '.join(AXES)}, not {axes[:1]}")
    return int(key(["seed", seed, *axes])[:16], 16) >> 1


def files_fingerprint(paths: Iterable[Path | str]) -> str:
    """SHA-256 over names and contents of files, in whatever order and folder they lie. Read in pieces."""
    return key(["files", sorted((Path(p).name, _file_digest(Path(p))) for p in paths)])


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_fact_values = operator.attrgetter(*(f.name for f in fields(Fact)))
_question_values = operator.attrgetter(*(f.name for f in fields(Question)))


def splits_fingerprint(splits: Splits) -> str:
    """SHA-256 over every field of every fact. The order of facts counts, the order of splits does not."""
    # Facts become tuples of their fields and json's own encoder does the rest: 5,000 facts take some 40 ms.
    content = [[name, [_fact_values(fact) for fact in splits[name]]] for name in sorted(splits)]
    text = json.dumps(content, default=_question_values, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache
def engine_fingerprint() -> str:
    """SHA-256 over the sources in ``ENGINE_FILES``; FileNotFoundError if one is missing."""
    return files_fingerprint(ENGINE / name for name in ENGINE_FILES)


@lru_cache
def source_fingerprint(cls: type) -> str:
    """SHA-256 over the source a plugin class is made of.

    That is the module that defines it and each module of its bases, and, followed through their import
    statements, every module of the same package that they use: a helper counts, a sibling nobody imports does
    not. The engine is left out (see :func:`engine_fingerprint`). A package's own ``__init__`` counts only
    when something is imported from it by name; in it plugins are registered, which changes no number.

    Taken once per process, because that is the source that was loaded. Raises PluginError when there is none.
    """
    sources: dict[str, bytes] = {}
    for base in cls.__mro__:
        top = base.__module__.partition(".")[0]
        if top in sys.stdlib_module_names and top != "__main__":
            continue
        file = _file_of(base.__module__)
        if file is None:
            sources[f"{base.__module__}:{base.__qualname__}"] = _typed_in(base)
        elif file.parent != ENGINE:
            _collect(base.__module__, file, sources)
    return key(["source", {name: hashlib.sha256(text).hexdigest() for name, text in sources.items()}])


def _typed_in(cls: type) -> bytes:
    """The source of a class that lives in no file (notebook, REPL)."""
    try:
        return inspect.getsource(cls).encode()
    except (OSError, TypeError) as e:
        raise PluginError(
            f"The source of {cls.__module__}.{cls.__qualname__} cannot be read, so its results could not be "
            "told from those of another version. Define the class in a file."
        ) from e


def _collect(name: str, file: Path, into: dict[str, bytes]) -> None:
    """Add the source of module ``name`` and of what it imports from its own package."""
    if name in into:
        return
    into[name] = file.read_bytes()
    if file.suffix != ".py":
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    own = {name.partition(".")[0], __package__}
    for module, attribute in _imports(ast.parse(into[name], filename=str(file)), package):
        if module.partition(".")[0] in own:
            found, imported = _file_of(module), module
            # `from a import b` is module a.b if there is one, and otherwise something defined in a.
            if attribute and (found is None or found.name == "__init__.py"):
                inner = _file_of(f"{module}.{attribute}")
                found, imported = (inner, f"{module}.{attribute}") if inner else (found, module)
            if found is not None and found.parent != ENGINE:
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
