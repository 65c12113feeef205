"""Functions, classes and modules as Markdown, by their source: signatures as written, docstrings, fields."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import ModuleType
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
    if isinstance(thing, ModuleType):
        return _public(thing.__name__.rpartition(".")[2], thing) or thing.__name__
    return _public(thing.__qualname__, thing) or f"{thing.__module__}.{thing.__qualname__}"


def _public(name: str, thing: Any) -> str:
    return f"harness.{name}" if name in dir(harness) and getattr(harness, name) is thing else ""


def _body(thing: Any) -> list[ast.stmt]:
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body


def _members(owner: Any, body: Sequence[ast.stmt]) -> Iterator[str]:
    """What a class or a module defines, in the order of its source, without what is private."""
    seen = set(INTERNAL)
    for node, after in zip(body, [*body[1:], None], strict=True):
        name = _name(node)
        if name is None or name.startswith("_") or name in seen:  # a setter comes after its property
            continue
        seen.add(name)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            thing = inspect.getattr_static(owner, name)
            yield _entry(thing, node, _full(owner, name, thing) if isinstance(owner, ModuleType) else name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            text = _text_of(after) or _description(owner, name)
            # Fields of a dataclass stand in its signature, and a module's type variables say nothing.
            if text or not (isinstance(owner, ModuleType) or hasattr(owner, "__dataclass_fields__")):
                yield _variable(owner, node, name, text)


def _full(module: ModuleType, name: str, thing: Any) -> str:
    return _public(name, thing) or f"{path(module)}.{name}"


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
    function = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
    text = docstring(getattr(function, "func", function))
    returns = ast.unparse(node.returns) if node.returns else ""
    if isinstance(thing, property | cached_property):
        return _directive("property", name, text, type=returns)
    flags = [kind.__name__ for kind in (classmethod, staticmethod) if isinstance(thing, kind)]
    if getattr(function, "__isabstractmethod__", False):
        flags.append("abstractmethod")
    of_module = "." in name
    signature = f"({_parameters(node, bound=not (of_module or isinstance(thing, staticmethod)))})"
    signature += f" -> {returns}" * bool(returns)
    return _directive("function" if of_module else "method", name + signature, text, *flags)


def _variable(owner: Any, node: ast.AnnAssign | ast.Assign, name: str, text: str) -> str:
    annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
    value = ast.unparse(node.value) if node.value and not isinstance(node.value, ast.Call) else ""
    if name in getattr(owner, "model_fields", {}):
        value = repr(owner.model_fields[name].default)
    options = {"type": annotation, "value": value if len(value) <= LONGEST else ""}
    if isinstance(owner, ModuleType):
        return _directive("data", _full(owner, name, getattr(owner, name)), text, **options)
    return _directive("attribute", name, text, **options)


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
    if isinstance(node.value, ast.Call):  # field(default_factory=...)
        return f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)} = ..."
    return ast.unparse(node)


def _directive(kind: str, signature: str, text: str, *flags: str, **options: str) -> str:
    given = [f":{flag}:" for flag in flags] + [
        f":{name}: {value}" for name, value in options.items() if value
    ]
    return fenced("\n".join([*given, "", text]).strip("\n"), f"{{py:{kind}}} {signature}")
