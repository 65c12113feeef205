"""What runs a stranger's code: Python that lm-eval tasks name, and templates that reach for Python.

``!function`` in a task's YAML imports a file beside it, or any module, as soon as the task is loaded: a dry
run loads it, too. So files are looked at before lm-eval reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError
from .yaml_files import nodes


def check(directory: Path, trusted: bool) -> None:
    """Look at all YAML of a directory, and at what it includes from anywhere.

    Raises DataError for what is no YAML, which lm-eval would leave out without a word, and ConfigError for
    code unless it is ``trusted``.
    """
    # lm-eval would read a file of YAML that is only called like a side file of macOS.
    todo = [path for path in sorted(directory.rglob("*.yaml")) if not _is_apple_double(path)]
    seen: set[Path] = set()
    while todo:
        path = todo.pop(0)
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        for node in nodes(path):
            if _is_code(node) and not trusted:
                asked = f"'{node.value}'" if isinstance(node, yaml.ScalarNode) else node.tag
                raise ConfigError(
                    f"--utility-tasks {directory}: {path}, line {node.start_mark.line + 1}, would run the "
                    f"Python code {asked}, in a dry run as well: read it, and add --trust-code if you "
                    "trust it."
                )
            todo += [place for place in _includes(path, node) if place.is_file()]


def _is_apple_double(path: Path) -> bool:
    with path.open("rb") as file:
        return path.name.startswith("._") and file.read(4) == b"\0\5\x16\7"


def _is_code(node: yaml.Node) -> bool:
    """Whether the tag is lm-eval's own, or one of PyYAML for Python objects."""
    return node.tag == "!function" or ":python/" in str(node.tag)


def _includes(path: Path, node: yaml.Node) -> Iterator[Path]:
    """What ``include`` names, wherever it stands: YAML can merge it into the top of the file."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == "include":
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                yield from (path.parent / part.value for part in parts if isinstance(part, yaml.ScalarNode))


def guard_templates(trusted: bool) -> None:
    """Have lm-eval render the templates of tasks in jinja's sandbox, unless their code is ``trusted``.

    It does so with an environment of jinja in which a template reaches every Python object.
    """
    import lm_eval.utils

    lm_eval.utils.env = _environments()[not trusted]


@cache
def _environments() -> tuple[Any, Any]:
    """lm-eval's own environment, and the same in a sandbox."""
    import lm_eval.utils
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    own = lm_eval.utils.env
    guarded = SandboxedEnvironment(loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True)
    guarded.filters.update(own.filters)
    return own, guarded
