"""Python in a fresh process that must not load heavy packages."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = "{'torch', 'transformers', 'accelerate', 'datasets', 'pyarrow', 'scipy', 'matplotlib'}"


def python(code, **environment):
    """A fresh process that runs ``code`` and then says which heavy packages it has loaded."""
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('HEAVY', sorted({HEAVY} & set(sys.modules)), file=sys.stderr))\n"
        f"{code}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.stderr.splitlines()[-1] == "HEAVY []", done.stderr
    return done.stdout
