"""Tables are found by name and read in any format; what is wrong with one is said with file and row."""

from __future__ import annotations

import json

import pytest
from harness.benchmarks.tables import find_table, read_file, read_table

from harness.errors import DataError
from support.tables import write

ROWS = [{"id": "1", "text": "A b"}, {"id": "2", "text": 'He said "c,\nd" \u2028 e'}]


def fields(records):
    return [record.fields for record in records]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_table_is_the_same_in_every_format(suffix, tmp_path):
    write(tmp_path / f"rows{suffix}", ROWS)
    assert fields(read_table(tmp_path, "rows")) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"id": ["1", "2"], "text": [row["text"] for row in ROWS]}),
        "\n".join(map(json.dumps, ROWS)),
        json.dumps(ROWS, indent=2),
        "\ufeff" + json.dumps(ROWS),
    ],
    ids=["columns", "lines", "indented", "marked"],
)
def test_json_may_hold_columns_lines_or_rows(text, tmp_path):
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    assert fields(read_file(tmp_path / "rows.json")) == ROWS


def test_a_string_is_a_text_and_so_is_a_whole_file_of_text(tmp_path):
    write(tmp_path / "rows.json", ["A b", "c"])
    (tmp_path / "whole.txt").write_text("A b\nc")
    assert fields(read_table(tmp_path, "rows")) == [{"text": "A b"}, {"text": "c"}]
    assert fields(read_table(tmp_path, "whole")) == [{"text": "A b\nc"}]


def test_the_nearest_table_is_taken_and_the_first_name(tmp_path):
    near = write(tmp_path / "data" / "rows.json", ROWS)
    write(tmp_path / "data" / "old" / "rows.json", ROWS[:1])
    write(tmp_path / "other.json", ROWS)
    write(tmp_path / ".cache" / "rows.json", ROWS)
    assert find_table(tmp_path, "ROWS", "other") == [near]
    assert find_table(tmp_path, "none") == []
    write(tmp_path / "again" / "rows.json", ROWS)
    with pytest.raises(DataError, match=r"two files could be the table 'rows': .*; keep one of them"):
        find_table(tmp_path, "rows")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.csv", 'id,text\n1,"a\n', "not CSV: unexpected end of data"),
        ("rows.csv", "id,text\n1,a\n2\n", "rows.csv, row 2: expected 2 columns"),
        ("rows.csv", "", "the file holds no record"),
        ("rows.json", '{"a": [1, 2], "b": [1]}', "expected columns of one length"),
        ("rows.json", "[1]", "row 1: expected an object or a text, found int"),
        ("rows.json", "7", "expected a list of rows, found int"),
        ("rows.json", "[", "not JSON"),
        ("rows.jsonl", '{"a": 1}\n[]', "line 2: expected an object or a text, found list"),
        ("rows.parquet", "PAR1", "not a table in Parquet"),
        ("rows.txt", "a\0b", "which no text can hold"),
    ],
)
def test_what_is_wrong_is_one_sentence(name, content, says, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path, "rows")
    assert str(caught.value).startswith(str(tmp_path / name))
    assert says in str(caught.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="no table 'rows' or 'lines' is here: expected such a file in"):
        read_table(tmp_path, "rows", "lines")
    with pytest.raises(DataError, match="this directory does not exist"):
        read_table(tmp_path / "none", "rows")
    for part in (0, 2):
        write(tmp_path / f"rows-{part:05d}-of-00003.parquet", ROWS)
    with pytest.raises(DataError, match="expected 3 parts of this table, found 2 files"):
        read_table(tmp_path, "rows")
