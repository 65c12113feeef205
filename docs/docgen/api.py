"""Functions, classes and modules as Markdown, by their source: signatures as written, docstrings, fields."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from types import FunctionType, ModuleType
from typing import Any

import harness

from .text import code, docstring, fenced, markdown_of, plain

INTERNAL = ("ABC", "model_config")
"""How a class is made, which nobody who uses it needs to know."""

LONGEST = 60
"""Characters of a default that is still shown."""


def described(thing: Any) -> str:
    """A function or class, or everything public that a module defines."""
    if isinstance(thing, ModuleType):
        return f"{docstring(thing)}\n\n" + "\n".join(_members(thing, _body(thing)))
    [node] = _body(thing)
    return _entry(thing, node, path(thing))


def path(thing: Any) -> str:
    """The name to import a thing by: from ``harness`` where that exports it, else where it is defined."""
    name = thing.__qualname__
    exported = name in harness.__all__ and getattr(harness, name) is thing
    return f"harness.{name}" if exported else f"{thing.__module__}.{name}"


def _body(thing: Any) -> list[ast.stmt]:
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body


def _members(owner: Any, body: Sequence[ast.stmt]) -> Iterator[str]:
    """What a class or a module defines, in the order of its source, without what is private."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        name = _name(node)
        if name is None or name.startswith("_") or name in INTERNAL:
            continue
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            thing = inspect.getattr_static(owner, name)
            yield _entry(thing, node, path(thing) if isinstance(owner, ModuleType) else name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            told = _text_of(after) or _description(owner, name)
            if told or not hasattr(owner, "__dataclass_fields__"):  # fields stand in the signature
                yield _variable(owner, node, name, told)


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else None


def _text_of(node: ast.stmt | None) -> str:
    """The string that stands below a variable and says what it is."""
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return markdown_of(node.value.value)
    return ""


def _description(owner: Any, name: str) -> str:
    """What a pydantic model says of its field."""
    field = getattr(owner, "model_fields", {}).get(name)
    return plain(field.description or "") if field else ""


def _entry(thing: Any, node: ast.stmt, name: str) -> str:
    """A function, method, property or class with its docstring and its members."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(code(base) for base in map(ast.unparse, node.bases) if base not in INTERNAL)
        parts = [
            f"Derives from {bases}.\n" * bool(bases),
            f"{docstring(thing)}\n",
            *_members(thing, node.body),
        ]
        return _directive("class", name + _construction(thing, node), "\n".join(filter(None, parts)))
    assert isinstance(node, ast.FunctionDef)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if isinstance(thing, property):
        return _directive("property", name, docstring(thing.fget), type=returns.removeprefix(" -> "))
    inner = getattr(thing, "__func__", getattr(thing, "func", thing))
    kind = {classmethod: "classmethod", staticmethod: "staticmethod"}.get(type(thing), "")
    flags = {kind: ""} if kind else {}
    if getattr(inner, "__isabstractmethod__", False):
        flags["abstractmethod"] = ""
    if not isinstance(thing, FunctionType | classmethod | staticmethod):  # a cached property
        return _directive("property", name, docstring(inner), type=returns.removeprefix(" -> "))
    directive = "function" if "." in name else "method"
    bound = directive == "method" and kind != "staticmethod"
    return _directive(directive, f"{name}({_parameters(node, bound)}){returns}", docstring(inner), **flags)


def _variable(owner: Any, node: ast.AnnAssign | ast.Assign, name: str, told: str) -> str:
    options = {"type": ast.unparse(node.annotation)} if isinstance(node, ast.AnnAssign) else {}
    value = ast.unparse(node.value) if node.value and not isinstance(node.value, ast.Call) else ""
    if name in getattr(owner, "model_fields", {}):
        value = repr(owner.model_fields[name].default)
    if value and len(value) <= LONGEST:
        options["value"] = value
    if isinstance(owner, ModuleType):
        return _directive("data", f"{owner.__name__}.{name}", told, **options)
    return _directive("attribute", name, told, **options)


def _parameters(node: ast.FunctionDef, bound: bool) -> str:
    arguments = node.args
    if bound:
        (arguments.posonlyargs or arguments.args).pop(0)
    return ast.unparse(arguments)


def _construction(cls: type, node: ast.ClassDef) -> str:
    """The arguments that make an object, where the class itself says which."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return f"({_parameters(member, bound=True)})"
    if not (hasattr(cls, "__dataclass_fields__") or hasattr(cls, "_fields")):
        return ""
    fields = [
        member
        for member in node.body
        if isinstance(member, ast.AnnAssign) and (_name(member) or "_")[0] != "_"
    ]
    return f"({', '.join(map(_field, fields))})"


def _field(node: ast.AnnAssign) -> str:
    if node.value is None:
        return ast.unparse(node)
    made = isinstance(node.value, ast.Call)  # field(default_factory=...)
    return f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)} = " + (
        "..." if made else ast.unparse(node.value)
    )


def _directive(kind: str, signature: str, body: str, **options: str) -> str:
    lines = [
        f":{name}: {value}".rstrip()
        for name, value in options.items()
        if value or name not in ("type", "value")
    ]
    return fenced("\n".join([*lines, "", body]).strip("\n"), f"{{py:{kind}}} {signature}")
