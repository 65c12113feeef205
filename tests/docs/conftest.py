"""What tests of the documentation share."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest

NEEDED = ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "latex2mathml")


@pytest.fixture(scope="session")
def generator() -> dict[str, ModuleType]:
    """The modules of docs/docgen by name."""
    pytest.importorskip("docgen", reason="no checkout: its docs/ is not installed")
    for name in NEEDED:
        pytest.importorskip(name, reason="the extra 'docs' is not installed")
    return {name: import_module(f"docgen.{name}") for name in ("api", "complete", "pages", "reference")}
