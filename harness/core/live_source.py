"""The source of a class that lives in no file: typed into a notebook, or executed from text."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ..errors import PluginError
from .keys import canonical


def is_live(cls: type) -> bool:
    """True where the code of the class came from no file."""
    codes = [function.__code__ for function in _functions(cls)]
    return bool(codes) and not any(Path(code.co_filename).is_file() for code in codes)


def live_source(cls: type) -> dict[str, str]:
    """By name, the source of a class and of what it uses of the module it was typed into.

    Helper functions and classes count with their source, plain values as JSON. Raises PluginError where
    there is no source, and for a value that has no such form.
    """
    sources: dict[str, str] = {}
    _add(cls, cls, sources)
    return sources


def _add(thing: Any, cls: type, sources: dict[str, str]) -> None:
    name = f"{thing.__module__}:{thing.__qualname__}"
    if name in sources:
        return
    text = _class_text(thing) if isinstance(thing, type) else _function_text(thing)
    if text is None:
        raise PluginError(
            f"The source of {thing.__module__}.{thing.__qualname__} cannot be read, so its results could not "
            "be told from those of another version. Define the class in a file."
        )
    sources[name] = text
    functions = list(_functions(thing)) if isinstance(thing, type) else [thing]
    names = [used for function in functions for used in _globals_of(function.__code__)]
    names += _names_of_body(text)
    for used in dict.fromkeys(names):
        scope = functions[0].__globals__
        if used in scope:
            _add_value(used, scope[used], thing.__module__, cls, sources)


def _add_value(name: str, value: Any, module: str, cls: type, sources: dict[str, str]) -> None:
    """Add what a global name stands for, unless it comes from a library."""
    if isinstance(value, type | FunctionType):
        if value.__module__ == module:
            _add(value, cls, sources)
        return
    if isinstance(value, ModuleType) or callable(value) or type(value).__module__ in ("typing", "types"):
        return
    try:
        sources[f"{module}:{name}"] = canonical(value)
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__} uses '{name}', a {type(value).__name__} that no key can be "
            "made of: define it within the class, or the class in a file."
        ) from error


def _functions(cls: type) -> Iterator[FunctionType]:
    """The functions of a class and of the classes within it, without what decorators hide."""
    for value in vars(cls).values():
        value = getattr(value, "fget", None) or getattr(value, "__func__", value)
        if callable(value):
            value = inspect.unwrap(value)
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type) and value.__qualname__.startswith(f"{cls.__qualname__}."):
            yield from _functions(value)


def _globals_of(code: CodeType) -> Iterator[str]:
    """The global names that a function reads, and the functions within it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)


def _names_of_body(text: str) -> list[str]:
    """The names read where a class or function is defined: bases, defaults, decorators, attributes."""
    nodes: list[ast.AST] = [ast.parse(f"if 1:\n{text}" if text[0].isspace() else text)]
    names = []
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.append(node.id)
        hidden = node.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
        nodes += [child for child in ast.iter_child_nodes(node) if child not in hidden]
    return sorted(names)


def _function_text(function: FunctionType) -> str | None:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return None


def _class_text(cls: type) -> str | None:
    """The text of the class statement around one of its functions.

    Before Python 3.13 ``inspect.getsource`` finds functions that live in no file, and no classes.
    """
    for function in _functions(cls):
        lines = linecache.getlines(function.__code__.co_filename)
        if not lines:
            continue
        text, line = "".join(lines), function.__code__.co_firstlineno
        around = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ClassDef)
            and node.name == cls.__name__
            and node.lineno <= line <= (node.end_lineno or line)
        ]
        if around:
            node = max(around, key=lambda node: node.lineno)
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "".join(lines[first - 1 : node.end_lineno])
    return None
