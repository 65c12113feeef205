"""Settings of plugins: read, checked against the plugin's Config, and turned into its instance.

What a setting may be is taken from the JSON schema that pydantic makes of the Config, for reading a value,
for explaining a wrong one, and for ``harness show``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from ..core.base import Attack
from ..core.benchmark import Plugin
from ..core.config import Config
from ..errors import ConfigError, HarnessError, gather, one, unknown
from .assignments import Typed
from .entry import Entry
from .registry import Registry
from .selection import AttackChoice, Selection

TYPES = {"null": "none", "boolean": "true or false", "string": "text", "object": "JSON object"}
BOUNDS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "multipleOf": "a multiple of",
    "minItems": "of length >=",
    "maxItems": "of length <=",
    "pattern": "matching",
}

Schema = Mapping[str, Any]


Overrides = dict[Entry, dict[str, Any]]
"""What the user set, by plugin and setting. A plugin of which nothing was set is not in it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a Config, for people. ``name`` is what ``--set`` takes: the alias where there is one."""

    name: str
    field: str
    allowed: str
    default: str
    description: str
    schemas: tuple[Schema, ...]
    """The alternatives of its JSON schema, references resolved."""


def settings_of(cls: type[Plugin]) -> dict[str, Setting]:
    """Every setting of a plugin, by name, in the order of its Config."""
    schema = cls.Config.model_json_schema()
    settings = {}
    for field, info in cls.Config.model_fields.items():
        name = info.alias or field
        schemas = tuple(_alternatives(schema["properties"][name], schema.get("$defs", {})))
        default = "required" if info.is_required() else as_text(info.get_default(call_default_factory=True))
        allowed = " or ".join(dict.fromkeys(map(_allowed, schemas)))
        settings[name] = Setting(name, field, allowed, default, info.description or "", schemas)
    return settings


def check(settings: Iterable[tuple[str, Any]], selection: Selection, registry: Registry) -> Overrides:
    """Sort values of ``NAME.setting`` by plugin, and check the settings of the whole selection.

    Raises ConfigError with all that is wrong, a line for each: no such plugin, a plugin that is not part of
    the run, no such setting, a value that is not allowed, two values for one setting.
    """
    overrides: Overrides = {}
    others = [
        AttackChoice(entry) for entry in [*selection.methods, *selection.benchmarks, *selection.analyses]
    ]
    steps = [
        *(partial(assign, overrides, *item, selection.entries(), registry) for item in settings),
        *(partial(_check, overrides, choice) for choice in [*others, *selection.attacks]),
    ]
    gather(lambda step: step(), steps, ConfigError)
    return overrides


def resolve(cls: type[Plugin], overrides: Mapping[str, Any]) -> Config:
    """The settings of a plugin with ``overrides`` (by name or alias) over its defaults.

    Raises ConfigError saying which setting, its value, and what is allowed; all of them at once.
    """
    try:
        return cls.Config(**overrides)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(cls, overrides, error))) from None


def overrides_of(entry: Entry, overrides: Overrides) -> dict[str, Any]:
    """What the user set of a plugin; of a composition that of its method, and by name that of modifiers."""
    base, *modifiers = entry.parts
    over = {
        f"{part.name}.{name}": value for part in modifiers for name, value in overrides.get(part, {}).items()
    }
    return {**overrides.get(base, {}), **over}


def set_name(plugin: str, setting: str) -> str:
    """A setting as ``--set`` takes it; in a composition it is of the method or of a modifier."""
    return setting if "." in setting else f"{plugin.partition('+')[0]}.{setting}"


def resolve_variants(
    cls: type[Attack], overrides: Mapping[str, Any], only_variant: str | None = None
) -> list[tuple[str, Config]]:
    """Label and settings of each variant of an attack, or of ``only_variant``, with ``overrides`` over them.

    When the user sets a setting in which the variants differ, those that have become equal collapse into one,
    labelled by its own values (``p=0.3``) and no longer by the published ones.
    """
    plain = [resolve(cls, variant) for variant in cls.variants.values()]
    differing = [s for s in settings_of(cls).values() if len({repr(getattr(c, s.field)) for c in plain}) > 1]
    moved = [s.name for s in differing if s.name in overrides or s.field in overrides]
    if moved and only_variant is not None:
        raise ConfigError(
            f"The variant '{only_variant}' of {cls.name} fixes {', '.join(moved)}, which --set changes: "
            f"ask for '{cls.name}' without the variant, or leave the setting out."
        )
    resolved: dict[str, Config] = {}
    for label, variant in cls.variants.items():
        if only_variant not in (None, label):
            continue
        config = resolve(cls, {**_by_field(cls, variant), **_by_field(cls, overrides)})
        values = [f"{s.name}={as_text(getattr(config, s.field))}" for s in differing]
        resolved[" ".join(values) if moved else label] = config
    return list(resolved.items())


def as_text(value: Any) -> str:
    """A value as ``--set`` would take it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list | set | frozenset):
        return ",".join(map(as_text, value))
    return str(getattr(value, "value", value))


def assign(
    overrides: Overrides, setting: str, value: Any, entries: Sequence[Entry], registry: Registry
) -> None:
    """Put the value of ``NAME.setting`` of one of ``entries`` into ``overrides``. Raises ConfigError."""
    name, _, key = setting.partition(".")
    shown = f"--set {setting}={as_text(value)}"
    chosen = [entry for entry in entries if entry.name == name]
    if not chosen:
        try:
            kinds = " and ".join(entry.kind for entry in registry.named(name))
        except HarnessError as error:
            raise ConfigError(f"{shown}: {error}") from None
        present = ", ".join(entry.name for entry in entries)
        raise ConfigError(f"{shown}: the {kinds} '{name}' is not part of this run, which has {present}.")
    if len(chosen) > 1:
        kinds = " and ".join(one(entry.kind) for entry in chosen)
        raise ConfigError(f"{shown}: '{name}' is both {kinds} of this run; run them apart to set it.")
    settings = settings_of(chosen[0].load())
    known = settings.get(key) or next((s for s in settings.values() if s.field == key), None)
    values = overrides.setdefault(chosen[0], {})
    if isinstance(value, Typed):
        # A misspelt setting is kept as it is: resolve() refuses it together with what else is wrong.
        value = _read(value.text, known.schemas) if known else value.text
    elif known and isinstance(value, float | int | str) and _takes_lists_alone(known.schemas):
        value = [value]
    key = known.name if known else key
    if key in values and values[key] != value:
        raise ConfigError(f"{shown}: {name}.{key} is already set to {as_text(values[key])}.")
    values[key] = value


def _takes_lists_alone(schemas: Iterable[Schema]) -> bool:
    """Whether a single value can only mean a list of one."""
    types = {schema.get("type") for schema in schemas}
    return "array" in types and types <= {"array", "null"}


def _check(overrides: Overrides, choice: AttackChoice) -> None:
    cls, given = choice.entry.load(), overrides_of(choice.entry, overrides)
    if issubclass(cls, Attack):
        resolve_variants(cls, given, choice.variant)
        return
    config = resolve(cls, given)
    for name in getattr(cls, "needs", ()):
        if getattr(config, name) is None:
            raise ConfigError(
                f"{cls.name} needs {cls.name}.{name}: give it with --set {cls.name}.{name}=VALUE."
            )


def _by_field(cls: type[Plugin], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` by the name of the field, so that an alias in one mapping meets the field in another."""
    fields = {setting.name: setting.field for setting in settings_of(cls).values()}
    return {fields.get(name, name): value for name, value in values.items()}


def _explain(cls: type[Plugin], values: Mapping[str, Any], error: ValidationError) -> Iterator[str]:
    settings = settings_of(cls)
    # A union reports one error for each of its members: the first is enough, `allowed` names them all.
    first = {problem["loc"][:1]: problem for problem in reversed(error.errors())}
    for loc, problem in reversed(first.items()):
        message = problem["msg"].removeprefix("Value error, ")
        if not loc:
            yield f"The settings of {cls.name} do not fit together: {message}."
            continue
        name = str(loc[0])
        if problem["type"] == "extra_forbidden" or name not in settings:
            yield unknown(f"setting of {cls.name} named", name, settings)
            continue
        setting, shown = settings[name], set_name(cls.name, name)
        if problem["type"] == "missing" and len(problem["loc"]) == 1:
            yield f"{shown} has no default: give it with --set {shown}=VALUE."
            continue
        value = as_text(values.get(name, values.get(setting.field)))
        yield f"{shown}={value} is not allowed: {message}. Allowed: {setting.allowed}."


def _alternatives(schema: Schema, defs: Schema) -> Iterator[Schema]:
    """The schemas of a union, and what references point to."""
    if "$ref" in schema:
        yield from _alternatives(defs[schema["$ref"].rsplit("/", 1)[-1]], defs)
    elif parts := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        for part in parts:
            yield from _alternatives(part, defs)
    else:
        yield schema


def _allowed(schema: Schema) -> str:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices:
        return " or ".join(map(as_text, choices))
    kind = str(schema.get("type", "any value"))
    text = f"list of {_allowed(schema.get('items', {}))}" if kind == "array" else TYPES.get(kind, kind)
    bounds = [f"{word} {as_text(schema[key])}" for key, word in BOUNDS.items() if key in schema]
    return f"{text} {' and '.join(bounds)}" if bounds else text


def _read(text: str, schemas: Iterable[Schema]) -> Any:
    """A value as typed in a shell: ``none``, a comma list, text, or JSON, by what the setting may be."""
    types = {schema.get("type"): schema for schema in schemas}
    if "null" in types and text.lower() in ("none", "null"):
        return None
    if "array" in types and not text.startswith("["):
        items = [_read(part.strip(), [types["array"].get("items", {})]) for part in text.split(",") if part]
        if "string" not in types or len(items) != 1 or not isinstance(items[0], str):
            return items
    if "string" in types:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
