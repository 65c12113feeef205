"""Models on disk."""

from __future__ import annotations

import pytest

from harness.model import loading


@pytest.fixture(scope="module")
def saved(tiny, tokenizer, tmp_path_factory):
    """A directory with a model of three layers and its tokenizer, for each family."""
    places = {}

    def place(family):
        if family not in places:
            places[family] = tmp_path_factory.mktemp(family) / "model"
            loading.save(tiny(family, num_hidden_layers=3), tokenizer, places[family], {})
        return places[family]

    return place
