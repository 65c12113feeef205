"""The tables of a leaderboard as files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import StoreError
from harness.leaderboard import curves
from harness.leaderboard.groups import grouped
from harness.report import files
from harness.store.atomic import parquet_bytes
from harness.store.store import Store
from support.cells import board, world
from support.paths import ROOT


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return board(tmp_path_factory.mktemp("results"), world())


def test_building_twice_gives_the_same_bytes_whatever_the_order_of_rows(tmp_path):
    store = Store(tmp_path / "results")
    for row, outcome in world():
        store.commit(row, outcome)
    tables = [store.cells(), store.metrics(), store.samples()]
    for folder, step in (("1", 1), ("2", -1)):
        turned = [t.take(list(range(t.num_rows))[::step]) for t in tables]
        files.write(files.build(grouped(*turned)).files(), tmp_path / folder)
    pages = ("README.md", "index.html", "heatmap-world-tiny.svg")
    for name in ("leaderboard.parquet", "curves.parquet", "facts.parquet", *pages):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_the_written_tables_explain_their_columns(tmp_path, table):
    made = files.Published(table, curves.SCHEMA.empty_table())
    files.write(made.files(), tmp_path)
    for again, written in zip(files.read(tmp_path), made, strict=True):
        assert again.equals(written)
        assert all(column.metadata[b"description"] for column in again.schema)


def without_meanings(table):
    return table.replace_schema_metadata(None).cast(pa.schema([(f.name, f.type) for f in table.schema]))


def with_column(name, values):
    return lambda table: table.set_column(table.column_names.index(name), name, [values * table.num_rows])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_column("rank", ["first"]), "its column 'rank' is string and not int64"),
        (with_column("method", [None]), "its column 'method' is null"),
        (with_column("config", ["{"]), "its column 'config' is not JSON"),
        (with_column("lm_eval_tasks", ["[]"]), "its column 'lm_eval_tasks' is not a JSON object"),
    ],
)
def test_an_odd_table_of_a_leaderboard_is_named_in_one_sentence(tmp_path, table, change, says):
    files.write(files.Published(table, curves.SCHEMA.empty_table()).files(), tmp_path)
    pq.write_table(change(table), tmp_path / files.TABLE)
    with pytest.raises(StoreError) as caught:
        files.read(tmp_path)
    path = tmp_path / files.TABLE
    assert str(caught.value).startswith(f"{path} is damaged or cannot be read ({says}")


def test_a_name_of_a_column_that_is_no_utf_8_is_damage(tmp_path, table):
    files.write(files.Published(table, curves.SCHEMA.empty_table()).files(), tmp_path)
    path = tmp_path / files.TABLE
    path.write_bytes(path.read_bytes().replace(b"variant", b"v\xf7riant"))
    with pytest.raises(StoreError, match=r"is damaged or cannot be read .* build it again"):
        files.read(tmp_path)


def test_a_table_without_the_meanings_of_its_columns_gives_the_same_pages(tmp_path, table):
    made = files.Published(table, curves.SCHEMA.empty_table())
    files.write(made.files(), tmp_path)
    pq.write_table(without_meanings(table), tmp_path / files.TABLE)
    assert files.read(tmp_path).pages() == made.pages()


def test_a_table_beside_it_counts_only_where_the_leaderboard_names_it(tmp_path):
    store = Store(tmp_path / "results")
    for row, outcome in world():
        store.commit(row, outcome)
    made = files.build(grouped(store.cells(), store.metrics(), store.samples()))
    files.write(made.files(), tmp_path)
    assert files.read(tmp_path).facts.equals(made.facts)
    assert not (tmp_path / files.ANALYSES).exists()
    shorter = parquet_bytes(made.facts.slice(1))
    (tmp_path / files.FACTS).write_bytes(shorter)
    with pytest.raises(StoreError, match=r"facts.parquet is not the one that .* was built with; build again"):
        files.read(tmp_path)
    (tmp_path / files.FACTS).unlink()
    with pytest.raises(StoreError, match=r"There is no .*facts.parquet"):
        files.read(tmp_path)
    files.write(made._replace(facts=made.facts.slice(0, 0)).files(), tmp_path)
    (tmp_path / files.FACTS).write_bytes(shorter)  # of an older leaderboard
    assert files.read(tmp_path).facts.num_rows == 0


@pytest.mark.parametrize("name", [files.README, "index.html"])
def test_the_committed_pages_are_what_the_committed_tables_give(name):
    committed = ROOT / "leaderboard"
    assert files.read(committed).pages()[name] == (committed / name).read_bytes()
