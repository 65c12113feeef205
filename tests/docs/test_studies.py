"""The studies that pages tell of are what the committed cells give."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.paths import ROOT

STUDIES = ROOT / "leaderboard" / "studies"


@pytest.mark.skipif(not STUDIES.is_dir(), reason="no checkout with committed cells")
def test_the_page_of_ssiuu_has_the_table_that_its_cells_give():
    script = ROOT / "tests" / "perf" / "ssiuu_study.py"
    command = [sys.executable, script, STUDIES / "ssiuu"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs" / "methods" / "ssiuu.md").read_text()
    lines = told.split("\n")
    assert len(lines) > 25
    assert [line for line in lines if line not in page] == []
