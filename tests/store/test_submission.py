"""The folder of a submission is looked at from outside before anything in it is opened."""

from __future__ import annotations

import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import StoreError
from harness.store import submission
from harness.store.packed import pack
from harness.store.store import Store
from support.sound import row_of, scored, sound
from support.submitted import renew


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    store = Store(folder / "results")
    store.commit(sound(row_of(method="gd")), scored("forget", "accuracy", [0.5, 1.0]))
    return submission.write(folder / "mine", [store], ["gd"], {"r.yaml": b"seeds: 1\n"}, {"m.py": b"x = 1\n"})


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made.folder, tmp_path / "mine")


def test_what_is_written_is_what_is_opened(made):
    assert submission.opened(made.folder) == made
    assert list(made.cells().statuses().values()) == ["ok"]
    assert sorted(made.files) == ["cells/world-gd.parquet", "plugins/m.py", "runs/r.yaml", "submission.json"]


def test_its_content_is_all_of_its_files(made, folder):
    (folder / "plugins/m.py").write_bytes(b"x = 2\n")
    renew(folder)
    assert submission.opened(folder).content != made.content


def linked_file(folder):
    (folder / "runs/r.yaml").unlink()
    (folder / "runs/r.yaml").symlink_to("/etc/hostname")


def linked_folder(folder):
    shutil.rmtree(folder / "runs")
    (folder / "runs").symlink_to("/etc")


def pipe(folder):
    os.mkfifo(folder / "runs/p.yaml")


def hidden(folder):
    (folder / "runs/.env.yaml").write_text("")


def code_elsewhere(folder):
    (folder / "cells/conftest.py").write_text("raise SystemExit")


def deeper(folder):
    (folder / "cells/a/b/c/d").mkdir(parents=True)
    (folder / "cells/a/b/c/d/x.parquet").write_bytes(b"")


def too_large(folder):
    with (folder / "plugins/m.py").open("wb") as file:
        file.truncate(submission.MOST_BYTES + 1)


def too_many(folder):
    for i in range(submission.MOST_FILES):
        (folder / f"runs/{i}.yaml").write_text("")


def path_out(folder):
    manifest = json.loads((folder / "submission.json").read_text())
    manifest["files"]["../../x.parquet"] = "0" * 64
    (folder / "submission.json").write_text(json.dumps(manifest))


def other_content(folder):
    (folder / "plugins/m.py").write_text("import os\n")


def no_manifest(folder):
    (folder / "submission.json").unlink()


def no_json(folder):
    (folder / "submission.json").write_text("[" * 100_000)


def no_parquet(folder):
    (folder / "cells/world-gd.parquet").write_bytes(b"PAR1 nothing PAR1")
    renew(folder)


def bomb(folder):
    zeros = pa.table({"x": pa.array([bytes(2**20)] * 2, pa.binary())})
    pq.write_table(zeros, folder / "cells/b.parquet", compression="zstd", use_dictionary=False)
    renew(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (linked_file, "'runs/r.yaml' is a link or no plain file"),
        (linked_folder, "'runs' is a link or no plain file"),
        (pipe, "'runs/p.yaml' is a link or no plain file"),
        (hidden, "'runs/.env.yaml' belongs to no submission; it holds submission.json, cells/*.parquet, "),
        (code_elsewhere, "'cells/conftest.py' belongs to no submission"),
        (deeper, "'cells/a/b/c' is a link or no plain file"),
        (too_large, "plugins/m.py has more than 20 MiB"),
        (too_many, "it has more than 20 files"),
        (path_out, "names '../../x.parquet', which is no file of the submission"),
        (other_content, "plugins/m.py is not the file of which submission.json holds the digest"),
        (no_manifest, "it has no submission.json; write it with `harness submit`"),
        (no_json, "submission.json is not JSON"),
        (no_parquet, "cells/world-gd.parquet is damaged or no Parquet file"),
        (bomb, "cells/b.parquet takes more than 1 MiB unpacked"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_submission_must_not_hold_is_said_before_it_is_read(folder, change, says, monkeypatch):
    monkeypatch.setattr(submission, "MOST_UNPACKED", 2**20)
    monkeypatch.setattr(submission, "MOST_FILES", 20)
    change(folder)
    with pytest.raises(StoreError) as error:
        submission.opened(folder)
    assert says in str(error.value)


@pytest.mark.parametrize("name", ["Mine", "-x", "a b", "a" * 65])
def test_its_name_is_one_of_a_folder_and_nothing_else(made, tmp_path, name):
    with pytest.raises(StoreError, match="small letters, digits and hyphens"):
        submission.write(tmp_path / name, [], ["gd"], {}, {})


def test_a_folder_that_holds_something_stays_as_it_is(folder):
    with pytest.raises(StoreError, match="holds something already"):
        submission.write(folder, [], ["gd"], {}, {})


def test_the_manifest_says_what_the_cells_say(made, folder):
    rows = [row for cell in made.cells().stored().values() for row in cell.row.to_pylist()]
    assert [*submission.disagreements(made, rows)] == []
    manifest = json.loads((folder / "submission.json").read_text())
    (folder / "submission.json").write_text(json.dumps(manifest | {"methods": ["npo"]}))
    [sentence] = submission.disagreements(submission.opened(folder), rows)
    assert "says of 'methods' something else than its cells" in sentence


def test_names_of_cells_lead_a_pack_nowhere_else(tmp_path):
    store = Store(tmp_path / "results")
    store.commit(sound(row_of(method="/../../../x")), scored("forget", "accuracy", [0.5, 1.0]))
    with pytest.raises(StoreError, match="is no name of a file"):
        pack(tmp_path / "pack", [store])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]
