"""What is kept between runs is used only while it is what was put there, and has a place before all work."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import harness.engine.targets
import harness.model.loading
import harness.store.atomic
from harness.engine.note import DONE
from harness.store.scores import read_samples, write_samples
from harness.store.store import Store
from support.results import numbers, rows

DAMAGES = {
    "a note that was cut": lambda at, other: (at / DONE).write_bytes((at / DONE).read_bytes()[:-5]),
    "no weights in the note": lambda at, other: (at / DONE).write_text("{}"),
    "a config that was cut": lambda at, other: (at / "config.json").write_text("{"),
    "weights that were cut": lambda at, other: os.truncate(at / "model.safetensors", 100),
    "another's weights": lambda at, other: shutil.copy(other / "model.safetensors", at),
}


@pytest.fixture
def run(world):
    """A run with a cache of its own."""
    world.cache = world.folder / "cache"

    def start(methods="none,retrain", attacks="none", benchmark="stub", *more, **options):
        return world.run(methods, attacks, benchmark, *more, **{"controls": False, "seeds": 1, **options})

    return start


def target(world, role):
    [found] = [
        note.parent
        for note in world.cache.glob(f"targets/*/{DONE}")
        if json.loads(note.read_text())["role"] == role
    ]
    return found


def test_a_run_that_finds_all_its_cells_reads_each_once(run, monkeypatch):
    assert run().code == 0
    read, stored = [], Store._stored
    monkeypatch.setattr(Store, "_stored", lambda store, key: read.append(key) or stored(store, key))
    ended = run()
    assert (ended.code, "of which 2 are in" in ended.out) == (0, True)
    assert len(read) == len({*read}) == 2


class TestTargets:
    @pytest.mark.parametrize(
        ("role", "damage"), [*(("original", damage) for damage in DAMAGES), ("retrain", "another's weights")]
    )
    def test_one_that_is_not_what_was_trained_ends_the_run_with_a_sentence(self, run, world, damage, role):
        assert run().code == 0
        at, other = target(world, role), target(world, "retrain" if role == "original" else "original")
        DAMAGES[damage](at, other)
        ended = run(results="again")
        assert ended.code == 2
        *_, sentence = ended.err.splitlines()
        assert sentence.startswith(f"Error: The model in {at} is not what was made there: ")
        assert sentence.endswith("Delete that directory and run again.")
        assert "Traceback" not in ended.err
        assert rows(world.path("again")) == []
        if role == "retrain":  # once is enough: all say the same
            shutil.rmtree(at)
            assert run(results="again").code == 0
            assert numbers(world.path("again")) == numbers(world.path())

    def test_one_without_its_note_is_trained_again(self, run, world):
        assert run().code == 0
        (target(world, "original") / DONE).unlink()
        ended = run(results="again")
        assert (ended.code, "models to train first: original\n" in ended.out) == (0, True)
        assert numbers(world.path("again")) == numbers(world.path())

    @pytest.mark.parametrize("benchmark", ["stub", "stub-compared"])
    def test_weights_that_change_after_the_run_began_make_no_row(self, run, world, monkeypatch, benchmark):
        """What was loaded is hashed, and not only the files that lie there before."""
        assert run().code == 0
        load = harness.model.loading.load

        def other(directory, *arguments, **options):
            model, tokenizer = load(directory, *arguments, **options)
            next(model.parameters()).data.add_(1)
            return model, tokenizer

        monkeypatch.setattr(harness.model.loading, "load", other)
        ended = run("none,retrain", "nudge:small", benchmark, results="again")
        assert "is not what was made there: its weights are others. Delete that directory" in ended.err
        assert "Traceback" not in ended.err
        assert (ended.code, rows(world.path("again"), status="ok")) == (
            {"stub": 1, "stub-compared": 2}[benchmark],
            [],
        )


TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


class TestModelsAsTheyAre:
    @pytest.fixture
    def changing(self, world, monkeypatch):
        """The user's model, which somebody writes to when it is loaded."""
        world.model = Path(shutil.copytree(world.model, world.folder / "model"))
        load = harness.model.loading.load

        def change(name):
            def changed(directory, *arguments, **options):
                with (world.model / name).open("a") as file:
                    file.write(TEMPLATE if name.endswith(".jinja") else " ")
                return load(directory, *arguments, **options)

            monkeypatch.setattr(harness.model.loading, "load", changed)

        return change

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
    def test_one_that_changes_after_the_plan_makes_no_row(self, run, world, changing, name):
        changing(name)
        ended = run("none", "nudge", "stub-bare")
        assert ended.code == 1
        assert rows(world.path(), status="ok") == []
        assert {row["error_message"] for row in rows(world.path())} == {
            f"{world.model / name} was changed while the run went on, and its keys are those of what was "
            "there before: leave the model alone while it is used, and run again."
        }

    def test_one_that_changes_after_the_plan_makes_no_target(self, run, world, changing):
        changing("config.json")
        ended = run()
        assert ended.code == 2
        assert ended.sentence.startswith(f"{world.model / 'config.json'} was changed while the run went on")
        assert list(world.cache.rglob("*.safetensors")) == []

    def test_one_in_which_another_file_changes_is_used(self, run, world, changing):
        changing("README.md")
        assert run("none", "nudge", "stub-bare").code == 0


class TestPlaces:
    """A cache that cannot be written is noticed before anything is trained, if anything has to be."""

    @pytest.fixture
    def untrained(self, monkeypatch):
        def trained(*_):
            raise AssertionError("something was trained")

        monkeypatch.setattr(harness.engine.targets, "fit", trained)

    @pytest.fixture
    def full(self, monkeypatch):
        """A disk on which only results have room."""
        if not Path("/proc/self/fd").exists():
            pytest.skip("there is no /proc to tell the disks apart")
        sync = os.fsync

        def refused(number):
            if "cache" in os.readlink(f"/proc/self/fd/{number}"):
                raise OSError(28, "No space left on device")
            return sync(number)

        return lambda: monkeypatch.setattr(harness.store.atomic.os, "fsync", refused)

    def refused(self, ended, place, why):
        assert ended.code == 2
        assert ended.sentence == (
            f"{place} could not be written ({why}); make room, let this user write there, or use another "
            "--cache: what a run makes is kept there."
        )

    def test_a_file_in_the_way(self, run, world, untrained):
        world.cache.write_text("not a directory")
        self.refused(run(), world.cache / "targets", "Not a directory")
        world.cache.unlink()
        world.cache.mkdir()
        (world.cache / "targets").write_text("not a directory")
        self.refused(run(), world.cache / "targets", "File exists")
        assert rows(world.path()) == []

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
    def test_a_place_in_which_not_even_root_can_write(self, run, world, untrained):
        world.cache = Path("/proc/self/cache")
        self.refused(run(), "/proc/self/cache/targets", "No such file or directory")

    def test_a_disk_that_is_full(self, run, world, untrained, full):
        full()
        self.refused(run(), world.cache / "targets", "No space left on device")
        assert [path for path in world.cache.rglob("*") if path.is_file()] == []

    def test_one_that_is_only_read_needs_no_room(self, run, world, full):
        assert run(benchmark="stub-compared").code == 0
        full()
        before = {path: path.stat().st_mtime_ns for path in world.cache.rglob("*")}
        assert run(benchmark="stub-compared", results="again").code == 0
        assert {path: path.stat().st_mtime_ns for path in world.cache.rglob("*")} == before

    def test_the_scores_of_a_twin_need_room_too(self, run, world, full):
        assert run().code == 0
        full()
        self.refused(run(benchmark="stub-compared"), world.cache / "twins", "No space left on device")

    def test_a_model_taken_as_it_is_needs_no_cache(self, run, world):
        world.cache.write_text("not a directory")
        assert run("none", "nudge", "stub-bare").code == 0

    def test_a_plan_alone_writes_nothing(self, run, world):
        assert run("none", "none", "stub", "--dry-run").code == 0
        assert not world.cache.exists()
        assert not world.path().exists()

    @pytest.mark.parametrize("table", ["cells", "metrics", "samples"])
    def test_a_table_of_results_that_has_no_place(self, run, world, untrained, table):
        world.path().mkdir()
        (world.path() / table).write_text("not a directory")
        ended = run()
        assert ended.code == 2
        assert ended.sentence == (
            f"{world.path() / table} could not be written (File exists); make room, let this user write "
            "there, or use another --results directory."
        )

    def test_a_disk_that_fills_while_a_target_is_saved(self, run, world, monkeypatch):
        put = os.replace

        def full(source, place):
            if "targets" in str(place):
                raise OSError(28, "No space left on device")
            put(source, place)

        monkeypatch.setattr(harness.model.loading.os, "replace", full)
        ended = run()
        assert ended.code == 2
        assert "could not be written (No space left on device); make room or use another --cache" in ended.err
        assert ended.err.count("\n") == 1


class TestScoresOfATwin:
    """Nobody recomputes them, so their file says what they were."""

    @pytest.fixture
    def kept(self, run, world):
        assert run("none", benchmark="stub-compared").code == 0
        [path] = world.cache.glob("twins/*")
        return path

    def again(self, run, world):
        assert run("none", benchmark="stub-compared", results="again").code == 0
        return numbers(world.path("again")) == numbers(world.path())

    def test_a_value_that_was_edited_is_scored_again(self, run, world, kept):
        whole, table = read_samples(kept), pq.read_table(kept)
        column = table.schema.get_field_index("value")
        edited = table.set_column(column, table.schema.field("value"), [[0.5] * table.num_rows])
        pq.write_table(edited, kept)
        assert read_samples(kept) is None
        assert self.again(run, world)
        assert read_samples(kept) == whole

    @pytest.mark.parametrize(
        "change", [lambda t: t.slice(1), lambda t: t.take([1, 0]), lambda t: t.drop(["split"])]
    )
    def test_rows_and_columns_that_are_not_those_written_are_no_scores(self, kept, change):
        pq.write_table(change(pq.read_table(kept)), kept)
        assert read_samples(kept) is None

    def test_those_of_another_benchmark_are_no_scores(self, run, world, kept):
        other = kept.with_name("0" * 64 + ".parquet")
        write_samples(other, read_samples(kept))
        shutil.copy(other, kept)
        assert read_samples(kept) is None
        assert self.again(run, world)

    def test_a_file_of_an_earlier_version_has_no_digest(self, kept):
        table = pq.read_table(kept)
        bare = {name: value for name, value in table.schema.metadata.items() if name != b"content"}
        pq.write_table(table.replace_schema_metadata(bare), kept)
        assert read_samples(kept) is None
