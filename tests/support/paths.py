"""Where the repository, the packages that tests install, and published data lie."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests" / "packages"
DATA = Path(os.environ.get("HARNESS_TEST_DATA") or ROOT.parent / "shared" / "data")
"""Published data sets, which no test needs: those about them are skipped where they are not."""
