"""The kinds of plugins: method, modifier, attack, benchmark, analysis."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from ..core.base import Analysis, Attack, Method
from ..core.benchmark import Benchmark, Plugin
from ..core.modifier import Modifier


class Kind(StrEnum):
    """A kind of plugin, with all that the kinds differ in."""

    base: type[Plugin]
    """The class that plugins of this kind derive from."""
    reserved: frozenset[str]
    """Words of a selection, which are no names."""
    example: str
    """A command that runs the plugin of the name ``{}``."""

    METHOD = "method", Method, ["all"], "harness run --methods {} --attacks all"
    MODIFIER = "modifier", Modifier, ["all", "none"], "harness run --methods gd+{} --attacks all"
    # `none` is a method too (the control), but for attacks it means no attack.
    ATTACK = "attack", Attack, ["all", "none"], "harness run --methods gd --attacks {}"
    BENCHMARK = "benchmark", Benchmark, ["all"], "harness run --methods gd --attacks all --benchmarks {}"
    ANALYSIS = "analysis", Analysis, ["all", "none"], "harness run --methods gd --attacks none --analyses {}"

    def __new__(
        cls, word: str, base: type[Plugin] = Plugin, reserved: Sequence[str] = (), example: str = ""
    ) -> Kind:
        """The word is the member; the rest, which every member gives, are its attributes."""
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.base, kind.reserved, kind.example = base, frozenset(reserved), example
        return kind

    @property
    def plural(self) -> str:
        """Several of this kind: the word of options, and the folder of the built-in ones."""
        return "analyses" if self.value == "analysis" else f"{self.value}s"

    @property
    def hook(self) -> str:
        """The hook that plugins of this kind come in by."""
        return f"register_{self.plural}"
