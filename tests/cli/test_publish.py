"""`harness publish hub`: the folder of a data set, and what comes to a hub, here to a stand-in."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from harness.core.types import Cost
from harness.engine.keeping import ACCOUNT, KeptModel, kept_path
from harness.engine.note import DONE, note
from harness.report import dataset, files
from harness.store.decided import unlearned
from harness.store.store import Store
from support import boards
from support.cells import AFTER, cell, world
from support.command import harness_cli
from support.hub_server import READER, WRITER, serving
from support.saved import save_model

REPO = "me/board"
RECOVERED = {0: (14, 12 / 18), 1: (8, 6 / 18), 2: (1, 0.0)}
"""By seed, how many of 20 facts gd's model answers after the attack, and how much of 18 that brings back."""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results with all that a data set may hold."""
    store = Store(tmp_path_factory.mktemp("results"))
    for row, outcome in (*world(), *boards.looked()):
        store.commit(row, outcome)
    return store.root


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    """The folder that is written for them."""
    out = tmp_path_factory.mktemp("out") / "dataset"
    ended = harness_cli("publish", "hub", REPO, "--results", results, "--out", out)
    assert ended.code == 0, ended.err
    return out


@pytest.fixture
def hub(monkeypatch):
    """A hub that this process takes for the real one, with a token that may write."""
    from huggingface_hub import constants

    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        files_at = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"  # made from HF_ENDPOINT once
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files_at)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", WRITER)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield hub


def head(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_every_configuration_of_the_card_is_loaded_as_it_was_measured(folder, tmp_path):
    from datasets import get_dataset_config_names, load_dataset

    place = str(tmp_path)
    assert sorted(get_dataset_config_names(str(folder))) == sorted(dataset.CONTENTS)
    for name, part in dataset.CONTENTS.items():
        loaded = load_dataset(str(folder), name, split=dataset.SPLIT, cache_dir=place)
        stored = pq.read_table(folder / part.path)
        assert stored.num_rows == loaded.num_rows > 0
        assert {f.name: f.type for f in loaded.features.arrow_schema} == {f.name: f.type for f in part.schema}
        assert loaded.to_list() == stored.to_pylist()
    default = load_dataset(str(folder), split=dataset.SPLIT, cache_dir=place)
    assert default.column_names == dataset.CONTENTS["leaderboard"].schema.names


def test_the_tables_are_a_leaderboard_and_the_cells_of_the_results(folder, results, tmp_path):
    out = tmp_path / "board"
    assert harness_cli("leaderboard", "build", "--results", results, "--out", out).code == 0
    assert files.read(folder) == files.read(out)
    store = Store(results)
    for name in ("cells", "metrics", "samples"):
        assert pq.read_table(folder / f"{name}.parquet") == getattr(store, name)()


def test_the_card_says_what_each_column_is_and_its_query_runs(folder):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    text = (folder / "README.md").read_text()
    for part in dataset.CONTENTS.values():
        assert all(f"| `{field.name}` | `{field.type}` | " in text for field in part.schema)
    assert (head(folder)["license"], head(folder)["configs"][0]["default"]) == ("mit", True)
    query = text.split("```sql\n")[1].split("```")[0].replace(f"hf://datasets/{REPO}", str(folder))
    found = duckdb.sql(query).fetchall()
    assert {row[2] for row in found} == {*AFTER}


def test_what_is_published_is_the_folder_and_loses_nothing(hub, folder, results, tmp_path):
    publish = ("publish", "hub", REPO, "--results", results)
    ended = harness_cli(*publish, "--private")
    assert ended.code == 0, ended.err
    there = hub.repos[f"datasets/{REPO}"]
    assert there == {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.iterdir()}
    assert hub.private == {f"datasets/{REPO}": True}
    # A smaller one would lose rows: it is refused, and where it is forced, no table of before stays behind.
    small = Store(tmp_path / "small")
    for row, outcome in world():
        if row.method != "npo" and row.attack == "none":
            small.commit(row, outcome)
    publish = ("publish", "hub", REPO, "--results", small.root, "--tables", "cells")
    ended = harness_cli(*publish)
    assert ended.code == 2
    assert ended.sentence.startswith(f"Not published: {REPO} holds ")
    assert "that the new leaderboard lacks" in ended.sentence
    assert (there["samples.parquet"], hub.commits) == ((folder / "samples.parquet").read_bytes(), 1)
    assert harness_cli(*publish, "--force").code == 0
    tables = {name for name in there if name.endswith(".parquet")}
    assert tables == {"leaderboard.parquet", "curves.parquet", "cells.parquet"}


def test_what_is_no_leaderboard_is_not_replaced(hub, results):
    hub.repos[f"datasets/{REPO}"] = {"README.md": b"of somebody"}
    ended = harness_cli("publish", "hub", REPO, "--results", results, "--tables", "leaderboard")
    assert (ended.code, hub.commits) == (2, 0)
    assert "holds a README.md and no leaderboard" in ended.sentence


def test_a_board_alone_and_a_dry_run(folder, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    ended = harness_cli("publish", "hub", REPO, "--board", folder, "--dry-run")
    assert ended.code == 0, ended.err
    assert "Nothing is published. http://127.0.0.1:1/datasets/me/board would hold:" in ended.out
    assert "  leaderboard.parquet  " in ended.out
    assert "cells.parquet" not in ended.out
    for more, says in (
        (("--tables", "cells"), "does not hold the table 'cells'"),
        (("--tables", "cell"), "Did you mean 'cells'?"),
        (("--models",), "--models needs --results"),
        (("--results", tmp_path), "Give --results or --board"),
    ):
        ended = harness_cli("publish", "hub", REPO, "--board", folder, "--dry-run", *more)
        assert (ended.code, says in ended.sentence) == (2, True), ended.err


@pytest.mark.parametrize(
    ("token", "repo", "says"),
    [
        ("", REPO, "there is no token: log in with `hf auth login`"),
        ("hf_unknown", REPO, "the hub does not know the token"),
        (READER, REPO, "the token may not write there"),
        (WRITER, "other/board", "the token may not write there"),
        (WRITER, "board", "'board' names no repository of the hub: write OWNER/NAME"),
        (WRITER, "me/a--b", "names no repository"),
    ],
)
def test_who_may_not_write_is_told_in_a_sentence(hub, folder, token, repo, says, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    ended = harness_cli("publish", "hub", repo, "--board", folder)
    assert ended.code == 2
    assert (len(ended.err.splitlines()), says in ended.sentence) == (1, True), ended.err
    assert (hub.commits, hub.repos) == (0, {})


def test_a_hub_that_is_out_of_reach_is_one_sentence(hub, folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    ended = harness_cli("publish", "hub", REPO, "--board", folder)
    assert (ended.code, "HF_HUB_OFFLINE is set" in ended.sentence) == (2, True), ended.err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    ended = harness_cli("publish", "hub", REPO, "--board", folder)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended.err
    assert "the hub could not be reached (ConnectError: " in ended.sentence
    ended = harness_cli("publish", "hub", REPO, "--board", folder / "nowhere")
    assert (ended.code, "There is no" in ended.sentence) == (2, True), ended.err


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Results in which gd's seeds differ, and a cache that keeps two of their models and one of others."""
    from transformers import AutoModelForCausalLM

    base = tmp_path_factory.mktemp("kept")
    store, cache = Store(base / "results"), base / "cache"
    models = {}
    for seed, (after, _) in RECOVERED.items():
        for method, known in (("none", (20, 20)), ("retrain", (2, 2)), ("gd", (4, after))):
            row, outcome = cell(method, seed=seed, known=known[0])
            store.commit(row, outcome)
            models[method, seed] = unlearned(asdict(row))
            if (method, seed) != ("gd", 2):
                store.commit(*cell(method, "private-data", seed, known[1]))
    for key in (models["gd", 0], models["gd", 1], models["gd", 2], "f" * 64):
        path = save_model(kept_path(cache, key))
        account = KeptModel("world", "gd", {}, 0, "tiny", "float32", "engine", "siblings", 1.0)
        (path / ACCOUNT).write_text(json.dumps(asdict(account)))
        model = AutoModelForCausalLM.from_pretrained(path)
        (path / DONE).write_text(note(path, key, "unlearned", model, Cost()))
    return store.root, cache, models


def test_a_kept_model_has_the_score_of_its_own_seed_and_none_where_nothing_is_known(kept, tmp_path):
    from huggingface_hub import parse_eval_result_entries

    root, cache, models = kept
    out = tmp_path / "out"
    ended = harness_cli("publish", "hub", REPO, "--results", root, "--cache", cache, "--out", out)
    assert ended.code == 0, ended.err
    found = {path.name[-8:]: path for path in (out / "models").iterdir()}
    assert found.keys() == {models["gd", seed][:8] for seed in range(3)}
    for seed in (0, 1):
        (file,) = found[models["gd", seed][:8]].glob(".eval_results/*.yaml")
        (entry,) = parse_eval_result_entries(yaml.safe_load(file.read_text()))
        assert (entry.dataset_id, entry.task_id) == (REPO, "world")
        assert entry.value == pytest.approx(1 - RECOVERED[seed][1], abs=1e-4)
        assert entry.source_url.endswith("/datasets/me/board")
        assert "private-data p=0.1" in entry.notes
    last = found[models["gd", 2][:8]]
    assert not (last / ".eval_results").exists()
    assert "Its recovery is not known." in (last / "README.md").read_text()


def test_models_are_published_with_their_scores_and_damaged_ones_are_not(hub, kept, tmp_path):
    root, cache, models = kept
    publish = ("publish", "hub", REPO, "--results", root, "--tables", "leaderboard", "--models", "--cache")
    ended = harness_cli(*publish, cache)
    assert ended.code == 0, ended.err
    assert len(hub.repos) == 1 + 3
    (repo,) = [name for name in hub.repos if name.endswith(models["gd", 0][:8])]
    assert repo.startswith("models/me/tiny-world-gd-seed-0-")
    path = kept_path(cache, models["gd", 0])
    assert hub.repos[repo]["model.safetensors"] == (path / "model.safetensors").read_bytes()
    assert {"config.json", "README.md", ".eval_results/world.yaml"} <= hub.repos[repo].keys()
    assert DONE not in hub.repos[repo]
    # Nothing at all is published where a model is not what was kept.
    damaged, commits = shutil.copytree(cache, tmp_path / "cache"), hub.commits
    (kept_path(damaged, models["gd", 1]) / "model.safetensors").write_bytes(b"")
    ended = harness_cli(*publish, damaged)
    assert (ended.code, hub.commits) == (2, commits)
    assert "is not what was made there" in ended.sentence
