"""What JSON can say and nothing can work with is named with its file and line."""

from __future__ import annotations

import json

import pytest
from harness.benchmarks.faithun.files import INDEX_FILES, QUESTION_FILES, read_clusters, read_indices
from harness.benchmarks.instructions import read_instructions
from harness.benchmarks.records import read_records

from harness.errors import DataError

GOOD = '{"question": "Who?", "answer": "Ada."}'
ODD = {
    "deep": ('{"question": ' + "[" * 100_000, "too deep in one another"),
    "whole": (f'{{"question": "Who?", "n": {"9" * 5_000}}}', "Exceeds the limit"),
    "large": ('{"question": "Who?", "n": 1e999}', "1e999 is no number that a computer has"),
    "nan": ('{"question": "Who?", "n": NaN}', "NaN is no number that a computer has"),
    "infinite": ('{"question": "Who?", "n": -Infinity}', "-Infinity is no number"),
    "surrogate": (r'{"question": "Who \ud800?"}', r"after 'Who ' stands \ud800, which no text can hold"),
    "key": (r'{"quest\udfffion": ["Who?"]}', r"after 'quest' stands \udfff, which no text can hold"),
    "null": (
        r'{"question": ["", {"a": "Who\u0000"}]}',
        r"after 'Who' stands \u0000, which no text can hold",
    ),
    "raw null": ('{"question": "Who\0?"}', "not JSON: Invalid control character"),
}
odd = pytest.mark.parametrize(("text", "says"), ODD.values(), ids=ODD)


@odd
def test_a_line_of_records_that_nothing_can_work_with_is_named(tmp_path, text, says):
    path = tmp_path / "forget.json"
    path.write_text(f"{GOOD}\n{text}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_records(tmp_path, "forget")
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert says in str(caught.value)


@odd
def test_so_is_a_file_of_questions_and_one_of_instructions(tmp_path, text, says):
    path = tmp_path / QUESTION_FILES[0]
    path.write_text(text, encoding="utf-8")
    for read in (
        lambda: read_clusters(tmp_path, 1, 0),
        lambda: read_instructions(str(path), 1, None),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value).startswith(str(path))
        assert says in str(caught.value)


def test_a_gigantic_line_is_named_and_not_quoted(tmp_path):
    path = tmp_path / "forget.json"
    path.write_text(f"{GOOD}\n{json.dumps({'question': 'x' * 1_000_000})}\n")
    with pytest.raises(DataError, match=r"line 2: the line has 1,000,016 characters; at most 1,000,000"):
        read_records(tmp_path, "forget")


def test_characters_beyond_the_first_plane_are_no_harm(tmp_path):
    (tmp_path / "forget.json").write_text(r'{"question": "Who \ud83d\ude00?", "answer": "A \\ud800"}')
    [record] = read_records(tmp_path, "forget")
    assert (record.text("question"), record.text("answer")) == ("Who \U0001f600?", r"A \ud800")


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    (tmp_path / "forget.json").write_bytes(f"\ufeff{GOOD}\n".encode())
    assert read_records(tmp_path, "forget")[0].text("question") == "Who?"
    for number, name in enumerate(INDEX_FILES.values()):
        (tmp_path / name).write_bytes(f"\ufeff{number}\n".encode())
    assert list(read_indices(tmp_path, 3).values()) == [[0], [1], [2]]


@pytest.mark.parametrize("line", ["9" * 5_000, "\u0669" * 5_000, "\u00b2"])
def test_an_index_of_thousands_of_figures_is_named(tmp_path, line):
    for name in INDEX_FILES.values():
        (tmp_path / name).write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1: expected a cluster number from 0 to 2") as caught:
        read_indices(tmp_path, 3)
    assert len(str(caught.value)) < 1_000
