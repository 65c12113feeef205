"""`harness new`: a package with one plugin that is installed, checked and run at once."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from ..errors import HarnessError, one
from ..plugins.entry import NAME, NAME_RULE
from ..plugins.kinds import Kind
from ..plugins.registry import Registry

FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "src/{module}/__init__.py": "__init__.py.txt",
    "src/{module}/{kind}.py": "{kind}.py.txt",
    "tests/test_{module}.py": "test.py.txt",
}
"""Each file of the package, and its template."""


def write(kind: str, name: str, into: Path, registry: Registry | None = None) -> tuple[list[Path], list[str]]:
    """Write the package ``into/name``: its files, and the three commands that come next.

    Raises HarnessError for a name that is no name or is taken, and for a directory that is there already.
    """
    directory, module = into / name, name.replace("-", "_")
    check(kind, name, module, registry or Registry())
    if directory.exists():
        raise HarnessError(f"{directory} is there already: choose another name, or another place (--into).")
    run = Kind(kind).example.format(name)
    words = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "module": module,
        "kind": kind,
        "plural": Kind(kind).plural,
        "one": one(kind),
        "One": one(kind).capitalize(),
        "run": run,
        "Class": class_name(kind, name),
    }
    written = []
    try:
        for path, template in FILES.items():
            file = directory / path.format(**words)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(text(template.format(**words))).substitute(words), encoding="utf-8")
            written.append(file)
    except OSError as error:
        raise HarnessError(f"{directory} cannot be written: {error.strerror}.") from error
    return written, [f"pip install -e {directory}", f"harness check {name}", run]


def text(template: str) -> str:
    """A template that comes with the package."""
    return resources.files(__package__).joinpath("templates", template).read_text(encoding="utf-8")


def check(kind: str, name: str, module: str, registry: Registry) -> None:
    """Raise HarnessError for a name that cannot be that of a plugin and of a Python package."""
    if not NAME.fullmatch(name):
        raise HarnessError(f"'{name}' is no name for {one(kind)}: {NAME_RULE}.")
    if name in Kind(kind).reserved:
        raise HarnessError(f"'{name}' is a word of the command line and no name for {one(kind)}.")
    if taken := registry.kinds[kind].get(name):
        raise HarnessError(f"There is {one(kind)} '{name}' already, of {taken.owner}: choose another name.")
    if not module.isidentifier() or module.endswith("_") or keyword.iskeyword(module):
        raise HarnessError(f"'{module}' cannot be the name of a Python package: choose another name.")
    if importlib.util.find_spec(module) is not None:
        raise HarnessError(f"There is a Python module '{module}' already: choose another name.")


def class_name(kind: str, name: str) -> str:
    """``my-method`` is MyMethod; a name that the template uses itself gets the kind behind it."""
    joined = "".join(part.capitalize() for part in re.split("[-_]", name))
    return joined + kind.capitalize() * (joined in re.findall(r"\w+", text(f"{kind}.py.txt")))
