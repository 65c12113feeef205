"""Methods with modifiers over them, ``npo+sam``: registered by nobody, and made of the parts that are."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.benchmark import Plugin
from ..core.composition import JOINED, compose
from .entry import Entry
from .kinds import Kind


@dataclass(frozen=True, slots=True)
class ComposedEntry(Entry):
    """A method and the modifiers over it, as an entry of a method."""

    composed: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, parts: tuple[Entry, ...]) -> ComposedEntry:
        """The entry of a method and modifiers, the first innermost."""
        owners = " + ".join(dict.fromkeys(part.owner for part in parts))
        distribution, _, version = owners.rpartition(" ")
        return cls(Kind.METHOD, JOINED.join(part.name for part in parts), "", distribution, version, parts)

    @property
    def parts(self) -> tuple[Entry, ...]:
        return self.composed

    @property
    def path(self) -> str:
        return " + ".join(part.path for part in self.parts)

    def load_unchecked(self) -> type[Plugin]:
        """The class that is made of its parts, each of which keeps its contract.

        Raises HarnessError, with the reason, where they make no sense together.
        """
        base, *modifiers = (part.load() for part in self.parts)
        return compose(base, tuple(modifiers))  # type: ignore[arg-type]

    def summary(self) -> str:
        return " + ".join(part.summary() for part in self.parts)
