"""The options of a run as YAML: read from a file, and kept with its results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from ..core.files import ours
from ..core.keys import key
from ..errors import ConfigError, DataError
from ..plugins.discovery import DISTRIBUTION
from ..store.atomic import write_atomically
from . import yaml_files
from .options import RunOptions

FOLDER = "runs"
"""Where a results directory keeps the configurations of its runs."""

HEAD = """\
# What a run of the harness was told, with every name and default written out. To do it again:
#     harness run --config FILE --results ELSEWHERE
# Written by unlearning-harness {version}.
"""
CLASSES = "# Not in any file, so to be passed to harness.run(config=FILE, plugins=[...]) again: {}\n"


class Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in YAML 1.2, and no key occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """The mapping. Raises ConstructorError, with its line, for a key that is there already."""
        known: set[Any] = set()
        for name, _ in node.value:
            value = self.construct_object(name, deep=True)
            if isinstance(value, str) and value in known:
                raise yaml.constructor.ConstructorError(
                    problem=f"'{value}' is there twice", problem_mark=name.start_mark
                )
            known.add(str(value))
        return super().construct_mapping(node, deep)


def _whole(loader: Loader, node: yaml.ScalarNode) -> int:
    number = loader.construct_yaml_int(node)
    if abs(number) >= 2**63:  # Python cannot even write it out, from some length on
        raise yaml.constructor.ConstructorError(
            problem="a whole number has more than 64 bits", problem_mark=node.start_mark
        )
    return int(number)


Loader.add_constructor("tag:yaml.org,2002:int", _whole)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def read(path: Path) -> RunOptions:
    """The options in a file. Raises ConfigError with all that is wrong and where."""
    try:
        given = yaml.load(yaml_files.read(path), Loader)
    except OSError as error:
        raise ConfigError(f"--config {path}: it cannot be read: {error.strerror}.") from error
    except DataError as error:
        raise ConfigError(str(error)) from error
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # what is no date or number raises the latter
        raise ConfigError(str(yaml_files.not_yaml(path, error))) from error
    if given is None:
        given = {}
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"{path}: it must hold options by name, such as 'methods: [gd, npo]'.")
    return RunOptions.of(given, path)


def keep(config: Mapping[str, Any], results: Path, classes: Sequence[str] = ()) -> Path:
    """Write a configuration into a results directory, unless it is there already. Raises StoreError."""
    path = results / FOLDER / file_name(config)
    if not path.exists():
        write_atomically(path, text(config, classes))
    return path


def file_name(config: Mapping[str, Any]) -> str:
    """The name of the file of a configuration: the same for the same options."""
    return f"{key(config)[:16]}.yaml"


def text(config: Mapping[str, Any], classes: Sequence[str] = ()) -> bytes:
    """A configuration as the content of a file."""
    head = HEAD.format(version=metadata.version(DISTRIBUTION))
    head += CLASSES.format(", ".join(classes)) if classes else ""
    body = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=110)
    return f"{head}\n{body}".encode()


def copy(sources: Sequence[Path], results: Path) -> None:
    """Bring the configurations of several results directories into one. Raises StoreError."""
    for path in (path for source in sources for path in sorted(ours((source / FOLDER).glob("*.yaml")))):
        if not (results / FOLDER / path.name).exists():
            write_atomically(results / FOLDER / path.name, path.read_bytes())
