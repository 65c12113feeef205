"""`harness prepare`: what it fetches is recorded, and afterwards a run needs no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from fnmatch import fnmatch
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.benchmarks.instructions import read_instructions
from huggingface_hub.errors import LocalEntryNotFoundError

from harness.core import hub
from harness.core.hub import Hub
from harness.errors import DataError, HarnessError
from harness.runner.options import RunOptions
from harness.runner.resolve import resolved
from support.command import harness_cli
from support.saved import save_model

TOFU, ALPACA, MODEL = "locuslab/TOFU", "tatsu-lab/alpaca", "some-org/some-model"
PROGRAM = """
import json, socket, sys

def refuse(*args, **kwargs):
    raise OSError(101, "Network is unreachable")

if sys.argv[1] == "offline":
    socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse

from harness.model import loading
from harness.runner.options import RunOptions
from harness.runner.prepare import prepare
from harness.runner.resolve import resolved

options = RunOptions.of(json.loads(sys.argv[2]))
if sys.argv[1] == "prepare":
    prepare(options)
else:
    plan = resolved(options).plan
    model, tokenizer = loading.load(plan.source.local())
    print(json.dumps([sorted(cell.key for cell in plan.cells), type(model).__name__]))
"""


def lines(*records: dict) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def record(n: int, perturbed: int = 0) -> dict:
    fields: dict = {"question": f"Who is number {n}?", "answer": f"Number {n}."}
    if perturbed == 5:
        fields |= {"paraphrased_question": f"Say who is {n}?", "paraphrased_answer": f"It is {n}."}
    return fields | (
        {"perturbed_answer": [f"It is {n}, {k}." for k in range(perturbed)]} if perturbed else {}
    )


def tofu_files() -> dict[str, bytes]:
    return {
        "README.md": b"no data",
        "forget01_perturbed.json": lines(*(record(n, 5) for n in range(40))),
        "retain99.json": lines(*(record(n) for n in range(40, 4000))),
        "retain_perturbed.json": lines(*(record(n, 5) for n in range(40, 440))),
        "real_authors_perturbed.json": lines(*(record(n, 3) for n in range(5000, 5100))),
        "world_facts_perturbed.json": lines(*(record(n, 3) for n in range(6000, 6117))),
    }


def alpaca_files() -> dict[str, bytes]:
    sink = pa.BufferOutputStream()
    rows = [{"instruction": f"Do {n}.", "input": "", "output": "Done."} for n in range(9)]
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return {"data/train-00000-of-00001.parquet": sink.getvalue().to_pybytes(), "README.md": b"no data"}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> dict[tuple[str, str], dict[str, bytes]]:
    place = save_model(
        tmp_path_factory.mktemp("model"), ["Who is number 1 ? Say It is", *map(str, range(40))]
    )
    model = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    return {("dataset", TOFU): tofu_files(), ("dataset", ALPACA): alpaca_files(), ("model", MODEL): model}


def commit_of(files: dict[str, bytes]) -> str:
    return sha256(repr(sorted(files.items())).encode()).hexdigest()[:40]


class FakeClient:
    """``snapshot_download`` with its cache in a directory and a network that can be cut."""

    def __init__(self, repositories, cache: Path):
        self.repositories, self.cache = dict(repositories), cache
        self.network, self.requests = True, []

    def __call__(
        self, repo, repo_type="model", revision=None, allow_patterns=("*",), local_files_only=False
    ) -> str:
        files = self.repositories[repo_type, repo]
        folder = self.cache / repo_type / repo / (revision or commit_of(files))
        if local_files_only:
            if not folder.is_dir():
                raise LocalEntryNotFoundError(f"{folder} is not there")
            return str(folder)
        if not self.network:
            raise ConnectionError("no network")
        self.requests.append((repo, revision))
        for name, content in files.items():
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return str(folder)


@pytest.fixture
def client(repositories, tmp_path, monkeypatch) -> FakeClient:
    made = FakeClient(repositories, tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made)
    return made


def options(cache: Path, **more) -> dict:
    settings = ["tofu.forget=forget01", "tofu.instruct_size=4"]
    return {"benchmarks": "tofu", "model": MODEL, "settings": settings, "cache": cache} | more


def arguments(cache: Path, *more: object) -> list[object]:
    chosen = ("--benchmarks", "tofu", "--model", MODEL, "--cache", cache)
    return ["prepare", *chosen, "--set", "tofu.forget=forget01", *more]


def keys(cache: Path, results: Path, **more) -> set[str]:
    given = options(cache, methods="gd", results=results, seeds=1, **more)
    return {cell.key for cell in resolved(RunOptions.of(given)).plan.cells}


# --- with a stand-in for the hub's client


def test_prepare_records_the_commit_and_the_checksum_of_every_file(client, tmp_path):
    ended = harness_cli(*arguments(tmp_path))
    assert ended.code == 0, ended.err
    entries = {(e["kind"], e["repo"]): e for e in json.loads((tmp_path / hub.RECORD).read_text())}
    assert set(entries) == set(client.repositories)
    for key, entry in entries.items():
        assert entry["revision"] == commit_of(client.repositories[key])
        assert entry["revision"][:12] in ended.out
        assert key[1] in ended.out
        for name, digest in entry["files"]:
            assert digest == sha256(client.repositories[key][name]).hexdigest()
    names = [name for name, _ in entries["dataset", TOFU]["files"]]
    assert names == sorted(set(tofu_files()) - {"README.md"})


def test_after_it_a_run_asks_for_nothing(client, tmp_path):
    harness_cli(*arguments(tmp_path))
    client.network, client.requests = False, []
    assert keys(tmp_path, tmp_path / "results")
    assert client.requests == []


def test_without_it_a_run_without_network_says_what_to_do(client, tmp_path):
    client.network = False
    with pytest.raises(HarnessError, match="neither a directory nor a hub id that can be fetched"):
        keys(tmp_path, tmp_path / "results")
    with pytest.raises(HarnessError, match=r"locuslab/TOFU could not be had .* Run `harness prepare`"):
        Hub().dataset(TOFU, ["*.json"])


def test_runs_stay_at_the_recorded_commit_until_it_is_prepared_again(client, tmp_path):
    harness_cli(*arguments(tmp_path))
    before = keys(tmp_path, tmp_path / "results")
    changed = tofu_files() | {"retain99.json": lines(*(record(n) for n in [*range(40, 3999), 7777]))}
    client.repositories["dataset", TOFU] = changed
    assert keys(tmp_path, tmp_path / "results") == before
    harness_cli(*arguments(tmp_path))
    assert not keys(tmp_path, tmp_path / "results") & before


def test_a_file_that_is_gone_is_fetched_again_at_the_recorded_commit(client, tmp_path):
    harness_cli(*arguments(tmp_path))
    client.requests = []
    commit = commit_of(tofu_files())
    (client.cache / "dataset" / TOFU / commit / "retain99.json").unlink()
    assert keys(tmp_path, tmp_path / "results")
    assert client.requests == [(TOFU, commit)]


@pytest.mark.parametrize(("kind", "repo"), [("dataset", TOFU), ("model", MODEL)])
def test_a_file_that_is_no_longer_what_was_fetched_is_named(client, tmp_path, kind, repo):
    harness_cli(*arguments(tmp_path))
    name = "retain99.json" if kind == "dataset" else "config.json"
    path = client.cache / kind / repo / commit_of(client.repositories[kind, repo]) / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DataError, match=rf"{name}: this is not what `harness prepare` fetched of {repo}"):
        keys(tmp_path, tmp_path / "results")


def test_a_ready_pair_is_fetched_and_each_at_its_own_revision(client, tmp_path):
    files = client.repositories["model", MODEL]
    client.repositories["model", "some-org/twin"] = files | {"config.json": files["config.json"] + b"\n"}
    pair = {"original": f"{MODEL}@v1", "retrain": "some-org/twin@v2"}
    given = ("--benchmarks", "tofu", "--cache", tmp_path, "--set", "tofu.forget=forget01")
    ended = harness_cli("prepare", *given, *(w for name in pair for w in (f"--{name}", pair[name])))
    assert ended.code == 0, ended.err
    assert {(MODEL, "v1"), ("some-org/twin", "v2")} < set(client.requests)
    asked = {(e.repo, e.requested) for e in hub.recorded(tmp_path) if e.kind == "model"}
    assert asked == {(MODEL, "v1"), ("some-org/twin", "v2")}
    client.network, client.requests = False, []
    given = {name: value for name, value in options(tmp_path).items() if name != "model"}
    run = RunOptions.of(given | pair | {"methods": "gd", "results": tmp_path / "results", "seeds": 1})
    assert {group.method.name for group in resolved(run).plan.groups} == {"gd", "none", "retrain", "refusal"}
    assert client.requests == []


def test_another_revision_than_the_prepared_one_is_asked_for(client, tmp_path):
    harness_cli(*arguments(tmp_path))
    prepared = hub.recorded(tmp_path)
    client.requests = []
    commit = commit_of(client.repositories["model", MODEL])
    Hub(prepared).fetch("model", MODEL, ["*"], commit)
    assert client.requests == []
    Hub(prepared).fetch("model", MODEL, ["*"], "a-branch")
    assert client.requests == [(MODEL, "a-branch")]


def test_preparing_something_else_keeps_what_was_prepared(client, tmp_path):
    harness_cli(*arguments(tmp_path))
    first = set(hub.recorded(tmp_path))
    ended = harness_cli("prepare", "--benchmarks", "tofu-mini", "--cache", tmp_path)
    assert ended.code == 0
    assert "the package" in ended.out
    assert set(hub.recorded(tmp_path)) == first


def test_instructions_of_the_hub_may_be_tables_or_one_json_file(client):
    rows = [{"instruction": f"Do {n}.", "input": "", "output": "Done."} for n in range(9)]
    client.repositories["dataset", "some-org/json"] = {"alpaca.json": json.dumps(rows).encode()}
    from_tables = read_instructions(ALPACA, 5, Hub())
    assert len({fact.question for fact in from_tables}) == 5
    assert read_instructions("some-org/json", 5, Hub()) == from_tables
    client.repositories["dataset", "some-org/none"] = {"alpaca.csv": b""}
    with pytest.raises(DataError, match="this file is missing; it holds a JSON list"):
        read_instructions("some-org/none", 5, Hub())


@pytest.mark.parametrize("text", ['{"what": 1}', "[" * 100_000, f"[{'9' * 5_000}]", "\0"])
def test_a_broken_record_is_named(tmp_path, text):
    (tmp_path / hub.RECORD).write_text(text)
    with pytest.raises(DataError, match=r"prepared\.json: this is no record of `harness prepare`"):
        hub.recorded(tmp_path)
    assert hub.recorded(tmp_path / "elsewhere") == ()


def test_a_changed_file_of_the_users_changes_the_keys_of_the_cells(client, tmp_path):
    for name, content in tofu_files().items():
        (tmp_path / name).write_bytes(content)

    def found():
        return keys(tmp_path, tmp_path / "results", data=tmp_path)

    before = found()
    assert found() == before
    (tmp_path / "world_facts_perturbed.json").write_bytes(
        lines(*(record(n, 3) for n in [*range(6000, 6116), 7777]))
    )
    from harness.runner import planner

    planner.loaded.cache_clear()  # a file is read once per process
    assert not found() & before


# --- with the hub's own client, against a small server


class Handler(BaseHTTPRequestHandler):
    """As much of the hub as fetching a repository takes."""

    repositories: dict[tuple[str, str], dict[str, bytes]]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        for (kind, repo), files in self.repositories.items():
            commit = commit_of(files)
            if self.path.split("?")[0].startswith(f"/api/{kind}s/{repo}"):
                about = {"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
                tree = [{"type": "file", "path": n, "size": len(f), "oid": ""} for n, f in files.items()]
                return self.send(json.dumps(tree if "/tree/" in self.path else about).encode(), commit)
            _, found, rest = self.path.partition(f"{repo}/resolve/")
            name = rest.partition("/")[2]
            if found and name in files:
                return self.send(files[name], commit)
        self.send_error(404)

    def send(self, content: bytes, commit: str) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint(repositories):
    handler = type("Handler", (Handler,), {"repositories": repositories})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_with_the_hubs_own_client_a_run_after_prepare_needs_no_network(endpoint, repositories, tmp_path):
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "*",
    }
    environment.pop("HF_HUB_OFFLINE")

    def start(how: str, **more) -> subprocess.CompletedProcess[str]:
        given = options(str(tmp_path / "cache"), results=str(tmp_path / "results"), **more)
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, how, json.dumps(given)],
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    ended = start("prepare")
    assert ended.returncode == 0, ended.stderr
    entries = hub.recorded(tmp_path / "cache")
    assert {(e.kind, e.repo): e.revision for e in entries} == {
        key: commit_of(files) for key, files in repositories.items()
    }
    ended = start("offline", methods="gd", seeds=1, attacks="private-data,instruction")
    assert ended.returncode == 0, ended.stderr
    found, model = json.loads(ended.stdout.splitlines()[-1])
    assert len(found) == 16
    assert model.endswith("ForCausalLM")
