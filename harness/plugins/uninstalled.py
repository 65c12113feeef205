"""The installed plugins, and with them those that a run brings along: files and classes."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PluginError
from .classes import PluginClass
from .files import PluginFile
from .registry import Registry

Uninstalled = PluginFile | PluginClass


def registry(plugins: Sequence[Uninstalled] = ()) -> Registry:
    """The installed plugins and ``plugins``.

    Raises PluginError for a file that cannot be loaded or holds no plugin, and for a name that is taken:
    unlike an installed plugin it was asked for, so leaving it out would not do.
    """
    registry = Registry()
    for plugin in plugins:
        for entry in plugin.entries():
            known = registry.kinds[entry.kind].get(entry.name)
            if known and known.path == entry.path:  # a class that is installed, or given twice
                continue
            if problem := registry.add(entry):
                raise PluginError(f"{plugin}: {problem}.")
    return registry
