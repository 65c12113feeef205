"""YAML that somebody wrote: read within limits that no file for people comes near."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from ..errors import DataError

BYTES = 2**20
"""Of a file."""

ALIASES, DEPTH = 20, 50
"""Aliases (``*name``), which repeat what they stand for, and lists and mappings within one another."""

PARSER = yaml.CSafeLoader if getattr(yaml, "__with_libyaml__", False) else yaml.SafeLoader
"""lm-eval's choice: whoever looks at a file before lm-eval reads it must see the same."""


def read(path: Path) -> str:
    """The text of a file that is YAML and keeps the limits. Raises DataError, and OSError."""
    if path.stat().st_size > BYTES:
        raise DataError(path, f"it has more than {BYTES:,} bytes, the most that is read of YAML")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        aliases = depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):  # of the two it says better where it stopped
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if aliases > ALIASES:
                raise DataError(path, f"it has more than {ALIASES} aliases (*name): write them out")
            if depth > DEPTH:
                line = event.start_mark.line + 1
                raise DataError(path, f"lists and mappings lie more than {DEPTH} deep in one another", line)
    except UnicodeDecodeError as error:
        raise DataError(path, "it is no text in UTF-8") from error
    except yaml.YAMLError as error:
        raise not_yaml(path, error) from error
    return text


def not_yaml(path: Path, error: Exception) -> DataError:
    """The sentence for what a parser or constructor of YAML says, or a number or date does."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return DataError(path, f"it is not YAML: {problem}.", mark.line + 1 if mark else None)


def nodes(path: Path) -> Iterator[yaml.Node]:
    """Every node of a file, once; nothing is constructed, so no tag does anything. Raises as :func:`read`."""
    try:
        todo = [node for node in yaml.compose_all(read(path), Loader=PARSER) if node is not None]
    except yaml.YAMLError as error:
        raise not_yaml(path, error) from error
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            if isinstance(node, yaml.SequenceNode):
                todo += node.value
            elif isinstance(node, yaml.MappingNode):
                todo += [part for pair in node.value for part in pair]
