"""Settings as they were written: ``NAME.setting=VALUE`` in a shell, and mappings in Python and YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, gather

ASSIGNMENT = re.compile(r"([^.=]+)\.([^=]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Typed:
    """A value as it was typed in a shell. What it means depends on what the setting may be."""

    text: str

    def __str__(self) -> str:
        return self.text


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """The settings of ``["NAME.setting=value", ...]``, their values still as they were typed.

    Raises ConfigError for every text that is written otherwise, and for two values of one setting.
    """
    settings: dict[str, Any] = {}

    def read(text: str) -> None:
        match = ASSIGNMENT.fullmatch(text)
        if not match:
            raise ConfigError(f"--set {text}: write NAME.setting=value, for example ga.epochs=3.")
        name, key, value = (part.strip() for part in match.groups())
        known = settings.setdefault(f"{name}.{key}", Typed(value))
        if known != Typed(value):
            raise ConfigError(f"--set {text}: {name}.{key} is already set to {known}.")

    gather(read, texts, ConfigError)
    return settings


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``{"npo.beta": 0.2}`` of that or of ``{"npo": {"beta": 0.2}}``. Raises ConfigError for other keys."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if "." not in name and isinstance(value, Mapping):
            found |= {f"{name}.{key}": inner for key, inner in value.items()}
        elif "." in name.strip("."):
            found[name] = value
        else:
            raise ConfigError(f"--set {name}: name the plugin and its setting, for example ga.epochs.")
    return found
