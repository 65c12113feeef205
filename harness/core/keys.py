"""Content keys: the same inputs give the same key anywhere, and any changed input gives another one.

A key never depends on a path, a date or a version alone. What it depends on is decided by the caller; here
are the canonical form, the digests of data, files and source code, and the seeds derived from a cell's seed.
"""

from __future__ import annotations

import hashlib
import json
import operator
import random
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .files import ours
from .types import Fact, Question, Splits

AXES = {
    "data": "which facts a benchmark or an attack picks",
    "init": "fresh weights: a model from scratch, a LoRA, a control vector",
    "order": "the order in which training sees its data",
    "attack": "what an attack draws: noise, samples",
    "analysis": "what an analysis draws: distractors, bootstrap",
}
"""Axes of randomness: stages on different axes never share a stream."""


def canonical(value: Any) -> str:
    """JSON with sorted keys, tuples as lists and floats by ``repr``: equal values give equal text.

    Raises TypeError for anything JSON has no word for (paths, sets, objects, keys that are not strings) and
    ValueError for NaN and infinity: what cannot be written cannot be compared either.
    """
    return json.dumps(_plain(value), sort_keys=True, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    # Text and numbers first: whether something is a mapping takes a hundred times as long to find out.
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        # json would turn the key 1 into "1", and two different values would share a text.
        if odd := [k for k in value if not isinstance(k, str)]:
            raise TypeError(f"only strings can be keys of a keyed value, not {odd[0]!r}")
        return {k: _plain(v) for k, v in value.items()}
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


def fixed_random(*names: str) -> random.Random:
    """Random numbers that are the same in every run, a stream for each sequence of names."""
    return random.Random(derive(0, "data", *names))


def files_fingerprint(paths: Iterable[Path | str]) -> str:
    """SHA-256 over names and contents of files, in whatever order and folder they lie. Read in pieces."""
    return key(["files", sorted((Path(p).name, file_digest(Path(p))) for p in paths)])


def tree_fingerprint(root: Path) -> str:
    """SHA-256 over all files below a directory, each by its path in it and its content; no side files."""
    files = sorted(path for path in ours(root.rglob("*")) if path.is_file())
    return key(["tree", [(path.relative_to(root).as_posix(), file_digest(path)) for path in files]])


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_fact_values = operator.attrgetter(*(f.name for f in fields(Fact) if f.name != "passage"))
_question_values = operator.attrgetter(*(f.name for f in fields(Question)))


def _content(fact: Fact) -> tuple[Any, ...]:
    """Every field of a fact; a passage only where there is one: data without any keep their digest."""
    return (*_fact_values(fact), fact.passage) if fact.passage else _fact_values(fact)


def splits_fingerprint(splits: Splits) -> str:
    """SHA-256 over every field of every fact. The order of facts counts, the order of splits does not."""
    # Facts become tuples of their fields and json's own encoder does the rest: 5,000 facts take some 40 ms.
    content = [[name, [_content(fact) for fact in splits[name]]] for name in sorted(splits)]
    text = json.dumps(content, default=_question_values, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
