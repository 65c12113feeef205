"""A result file of another shape is named in one sentence, by the board, by a run and in Python."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import harness
from harness.errors import StoreError
from harness.store.store import Store
from support.cells import cell
from support.command import harness_cli

CELLS, METRICS, SAMPLES = "cells", "metrics", "samples"


def hold(column, value, kind=None):
    """Every row has this value in a column."""

    def change(table):
        field = table.schema.field(column)
        kept = table.schema.metadata
        values = pa.array([value] * table.num_rows, kind or field.type)
        changed = table.set_column(table.column_names.index(column), column, values)
        return changed.replace_schema_metadata(kept)

    return change


def encode(column):
    """A column is dictionary-encoded, as pandas writes a categorical one."""

    def change(table):
        place = table.column_names.index(column)
        return table.set_column(place, column, table[column].dictionary_encode())

    return change


DEEP = "[" * 100_000
HUGE = f'{{"chance": {"9" * 5_000}}}'
ODD = [
    (CELLS, hold("notes", None), "its column 'notes' has no value"),
    (CELLS, hold("status", "fine"), "its status is 'fine' and not ok or failed"),
    (CELLS, hold("status", None), "its column 'status' has no value"),
    (CELLS, hold("status", 3, pa.int64()), "its column 'status' is int64 and not string"),
    (CELLS, hold("seed", None), "its column 'seed' has no value"),
    (CELLS, hold("seed", 1.5, pa.float64()), "its column 'seed' is double and not int64"),
    (CELLS, hold("model", "m", pa.large_string()), "its column 'model' is large_string and not string"),
    (CELLS, encode("status"), "its column 'status' is dictionary"),
    (CELLS, lambda table: table.drop(["status"]), "it lacks the column 'status'"),
    (CELLS, lambda table: table.drop(["model"]), "it lacks the column 'model'"),
    (CELLS, lambda table: table.append_column("x", pa.array([1])), "it has a column 'x' too many"),
    (CELLS, lambda table: table.select(table.column_names[::-1]), "its columns are in another order"),
    (CELLS, lambda table: table.slice(0, 0), "it holds 0 rows"),
    (CELLS, lambda table: pa.concat_tables([table, table]), "it holds 2 rows"),
    (METRICS, lambda table: table.drop(["value"]), "it lacks the column 'value'"),
    (METRICS, hold("value", "x", pa.string()), "its column 'value' is string and not double"),
    (METRICS, hold("value", None), "its column 'value' has no value"),
    (SAMPLES, hold("fact_id", None), "its column 'fact_id' has no value"),
    (SAMPLES, encode("metric"), "its column 'metric' is dictionary"),
]


JSON = [
    (hold("notes", "{"), "its column 'notes' is not JSON"),
    (hold("notes", "[]"), "its column 'notes' is not a JSON object"),
    (hold("notes", DEEP), "its column 'notes' is not JSON"),
    (hold("notes", HUGE), "its column 'notes' is not JSON"),
    (hold("notes", '{"chance": NaN}'), "'chance' in its column 'notes' is not a number"),
    (hold("notes", '{"forget_metric": 3}'), "'forget_metric' in its column 'notes' is not a text"),
    (hold("notes", '{"retain_metric": "x"}'), "'retain_metric' in its column 'notes' is not a list"),
    (hold("notes", '{"forgotten": 1}'), "'forgotten' in its column 'notes' is not true or false"),
    (hold("provenance", "[]"), "its column 'provenance' is not a JSON object"),
    (hold("provenance", '{"started_at": 5}'), "'started_at' in its column 'provenance' is not a text"),
    (hold("benchmark_config", "x"), "its column 'benchmark_config' is not JSON"),
    (hold("method_config", "x"), "its column 'method_config' is not JSON"),
    (hold("attack_config", "[1]"), "its column 'attack_config' is not a JSON object"),
]


@pytest.fixture
def results(tmp_path):
    """One cell, and its key."""
    row, outcome = cell("none", known=20)
    Store(tmp_path / "results").commit(row, outcome)
    return tmp_path / "results", row.key


@pytest.mark.parametrize(("table", "change", "says"), ODD)
def test_a_result_file_of_another_shape_is_named_in_one_sentence(results, tmp_path, table, change, says):
    place, key = results
    path = place / table / f"{key}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(StoreError) as caught:
        harness.load(place).leaderboard.validate()
    assert str(caught.value).startswith(f"{path} is damaged or cannot be read ({says}")
    built = harness_cli("leaderboard", "build", "--results", place, "--out", tmp_path / "board")
    assert (built.code, built.out) == (2, "")
    assert built.sentence == str(caught.value)


@pytest.mark.parametrize(("change", "says"), JSON)
def test_a_cell_with_odd_json_is_named_and_counts_as_failed(results, tmp_path, change, says):
    place, key = results
    path = place / CELLS / f"{key}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    [cell] = Store(place).stored([key]).values()
    assert any(sentence.startswith(says) for sentence in cell.wrong)
    built = harness_cli("leaderboard", "build", "--results", place, "--out", tmp_path / "board")
    assert built.code in (0, 2)
    assert key[:12] in built.err
    assert "Traceback" not in built.err


def test_text_that_is_no_utf_8_is_noticed_where_it_is_read(results):
    place, key = results
    path = place / CELLS / f"{key}.parquet"
    table = pq.read_table(path)
    odd = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    changed = table.set_column(table.column_names.index("model"), table.schema.field("model"), odd)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(StoreError, match=r"is damaged.*UTF"):
        Store(place).cells()


@pytest.mark.parametrize("table", [CELLS, METRICS, SAMPLES])
def test_a_name_of_a_column_that_is_no_utf_8_is_damage(results, table):
    place, key = results
    path = place / table / f"{key}.parquet"
    path.write_bytes(path.read_bytes().replace(b"key", b"k\xf7y"))
    with pytest.raises(StoreError, match=r"is damaged or cannot be read .* to have that cell run again"):
        Store(place).stored()


def test_side_files_of_macos_are_no_cells(results):
    place, key = results
    for name in (f"._{key}.parquet", ".DS_Store", f"__MACOSX/._{key}.parquet"):
        path = place / CELLS / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    assert Store(place).statuses() == {key: "ok"}
