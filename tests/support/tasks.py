"""Two small lm-eval tasks about the words of the stub's model."""

from __future__ import annotations

import json

import pytest
import yaml

OWN = "harness.benchmarks.world.tasks:tasks"

ACC = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}


@pytest.fixture(scope="module")
def no_home(tmp_path_factory):
    """Nothing is written to the user's cache of data sets."""
    import datasets

    place = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", place)
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        patch.setenv("HF_DATASETS_CACHE", str(place))
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield place


def write_task(folder, name, files, **config):
    """A task as lm-eval's YAML has it, over JSON lines."""
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: str(path) for split, path in files.items()}},
        "test_split": "test",
        "metadata": {"version": 3},
    } | config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))


WHERE = [("Ada", "Oslo"), ("Bo", "Rome"), ("Cleo", "Lima"), ("Dan", "Bonn"), ("Eve", "Kiev")]
HELPER = "def same(doc, results):\n    return {'acc': float(results[0][0] > results[1][0])}\n"


@pytest.fixture
def local(tmp_path):
    return write_local(tmp_path / "local")


def write_local(folder, **config):
    folder.mkdir(exist_ok=True)
    items = [{"who": who, "town": town, "towns": [town, "York"], "gold": 0} for who, town in WHERE]
    (folder / "where.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    ask = {"doc_to_text": "Question: Where does {{who}} live ?\nAnswer:"}
    choose = {"output_type": "multiple_choice", "metric_list": [ACC]}
    choose |= {"doc_to_choice": "towns", "doc_to_target": "gold"}
    write_task(folder, "where", {"test": folder / "where.jsonl"}, **ask | choose | config)
    said = {"until": ["\n"], "max_gen_toks": 2, "do_sample": False}
    generate = {"doc_to_target": "town", "generation_kwargs": said}
    generate |= {"metric_list": [{**ACC, "metric": "exact_match"}]}
    write_task(folder, "say", {"test": folder / "where.jsonl"}, **ask | generate)
    metric = {"metric": "acc", "aggregation": "mean", "weight_by_size": True}
    group = {"group": "both", "task": ["where"], "aggregate_metric_list": [metric]}
    (folder / "both.yaml").write_text(yaml.safe_dump(group))
    return folder
