"""The example notebook runs from its first cell to its last, and was committed as it ran."""

from __future__ import annotations

import importlib.util
import json

import pytest

from support.paths import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "first_run.ipynb"
LARGEST = 300_000

pytestmark = pytest.mark.skipif(not NOTEBOOK.is_file(), reason="no checkout with docs/")
lacking = [name for name in ("nbclient", "ipykernel", "matplotlib") if importlib.util.find_spec(name) is None]


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(cell):
    """The kinds of what a cell shows."""
    return {kind for output in cell["outputs"] for kind in output.get("data", {})}


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """A cache with the two models that the notebook starts from, trained once for all test workers."""
    from harness.plugins.registry import Registry
    from support.targets import trained

    benchmark = Registry().benchmark("tofu-mini").load()()
    cache, _ = trained(tmp_path_factory, benchmark, benchmark.load(), "original", "retrain")
    return cache


@pytest.mark.xdist_group("targets")
@pytest.mark.skipif(bool(lacking), reason=f"not installed: {', '.join(lacking)}")
def test_the_notebook_runs(targets, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("HARNESS_CACHE", str(targets))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    committed = [shown(cell) for cell in code_cells(notebook)]
    # A third of the work shows the same kinds of things.
    first = code_cells(notebook)[0]
    first["source"] = first["source"].replace("seeds=3", "seeds=1")
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    run, *others, refused = code_cells(notebook)
    assert " of 8 cells in " in json.dumps(run["outputs"])
    assert ", 0 failed" in json.dumps(run["outputs"])
    # What is wrong is one sentence in a notebook, too.
    [error] = refused["outputs"]
    assert error["traceback"] == [f"HarnessError: {error['evalue']}"]
    assert [shown(cell) for cell in code_cells(notebook)] == committed
    assert sum("image/png" in shown(cell) for cell in others) == 2
    assert len(list((tmp_path / "results" / "cells").iterdir())) == 8


def test_it_is_committed_with_its_outputs_and_small():
    notebook = json.loads(NOTEBOOK.read_text())
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in shown(cell) for cell in cells) == 2
    assert sum("text/html" in shown(cell) for cell in cells) >= 2
    assert NOTEBOOK.stat().st_size < LARGEST
    errors = [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert [error["ename"] for error in errors] == ["HarnessError"]
