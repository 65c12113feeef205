"""Processes of the fork server: what every one would load or make is there before it starts."""

from __future__ import annotations

import json

PLUGIN = '''
import json, sys
from pathlib import Path
from harness import Method

BEFORE = set(sys.modules)

class Looks(Method):
    """Leaves the model as it is, and says at the end of the process which modules came in."""

    name = "looks"

    def unlearn(self, job):
        import os

        leave = os._exit

        def last(code):
            come = sorted(set(sys.modules) - BEFORE)
            Path({path!r}).write_text(json.dumps(come))
            leave(code)

        os._exit = last
'''

SLOW = ("pandas", "torch", "transformers.models", "scipy", "datasets", "harness.benchmarks.world")
"""Beginnings of what takes more than some milliseconds to load."""


def test_a_process_loads_no_library_itself(world):
    plugin, seen = world.folder / "looks.py", world.folder / "seen.json"
    plugin.write_text(PLUGIN.replace("{path!r}", repr(str(seen))))
    ended = world.start("looks", "none", "stub", "--plugin", plugin, controls=False, spawn=True).wait()
    assert ended.code == 0, ended.err
    assert [name for name in json.loads(seen.read_text()) if name.startswith(SLOW)] == []
