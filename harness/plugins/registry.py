"""What can be run, by name. Nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.composition import JOINED
from ..errors import HarnessError, unknown
from .compositions import ComposedEntry
from .discovery import BrokenPlugin, Plugins, load_plugins
from .entry import Entry
from .kinds import Kind


class Registry:
    """The usable plugins by kind and name; ``broken`` holds what was left out and why.

    The first to register a name keeps it. A second one is reported in ``broken`` with both owners named.
    """

    def __init__(self, plugins: Plugins | None = None, more: Iterable[Entry] = ()) -> None:
        plugins = load_plugins() if plugins is None else plugins
        self.broken = list(plugins.broken)
        self.kinds: dict[str, dict[str, Entry]] = {kind.value: {} for kind in Kind}
        for entry in [*plugins.entries, *more]:
            self.add(entry)

    def add(self, entry: Entry) -> str | None:
        """Register a plugin. Where that cannot be it goes to ``broken``, and the reason is returned."""
        entries = self.kinds[entry.kind]
        problem = entry.problem()
        if problem is None and entry.name in entries:
            problem = (
                f"the {entry.kind} '{entry.name}' is already registered by {entries[entry.name].owner}, "
                f"so the one of {entry.owner} is left out"
            )
        if problem:
            self.broken.append(BrokenPlugin(str(entry.name), entry.distribution, entry.version, problem))
        else:
            entries[entry.name] = entry
        return problem

    @property
    def methods(self) -> dict[str, Entry]:
        """The methods by name."""
        return self.kinds[Kind.METHOD]

    @property
    def modifiers(self) -> dict[str, Entry]:
        """The modifiers by name."""
        return self.kinds[Kind.MODIFIER]

    @property
    def attacks(self) -> dict[str, Entry]:
        """The attacks by name."""
        return self.kinds[Kind.ATTACK]

    @property
    def benchmarks(self) -> dict[str, Entry]:
        """The benchmarks by name."""
        return self.kinds[Kind.BENCHMARK]

    @property
    def analyses(self) -> dict[str, Entry]:
        """The analyses by name."""
        return self.kinds[Kind.ANALYSIS]

    def method(self, name: str) -> Entry:
        """The method of that name. Raises HarnessError with the nearest name."""
        return self.get(Kind.METHOD, name)

    def attack(self, name: str) -> Entry:
        """The attack of that name. Raises HarnessError with the nearest name."""
        return self.get(Kind.ATTACK, name)

    def benchmark(self, name: str) -> Entry:
        """The benchmark of that name. Raises HarnessError with the nearest name."""
        return self.get(Kind.BENCHMARK, name)

    def analysis(self, name: str) -> Entry:
        """The analysis of that name. Raises HarnessError with the nearest name."""
        return self.get(Kind.ANALYSIS, name)

    def get(self, kind: Kind, name: str) -> Entry:
        """The plugin of that kind and name, or the composition. Raises HarnessError with the nearest name."""
        if kind == Kind.METHOD and JOINED in name:
            base, *modifiers = name.split(JOINED)
            over = (self.get(Kind.MODIFIER, modifier) for modifier in modifiers)
            return ComposedEntry.of((self.get(kind, base), *over))
        entries = self.kinds[kind]
        if name not in entries:
            raise HarnessError(unknown(kind, name, entries))
        return entries[name]

    def named(self, name: str) -> list[Entry]:
        """Everything of that name, whatever its kind. Raises HarnessError with the nearest name."""
        if JOINED in name:
            return [self.get(Kind.METHOD, name)]
        found = [entries[name] for entries in self.kinds.values() if name in entries]
        if not found:
            everything = {known for entries in self.kinds.values() for known in entries}
            raise HarnessError(unknown("plugin", name, everything))
        return found
