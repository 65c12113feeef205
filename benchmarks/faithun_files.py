"""Reads the authors' FaithUn files.

The exact nesting of the question file is not documented, so several plausible ones are read, and whatever
fits none is reported with the keys that were found. No guess is made that could mix up two clusters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import Fact, Question

from .tofu_files import read_text

QUESTION_FILES = ("FaithUn_Dataset.json", "FaithUnBench.json")
INDEX_FILES = {
    "forget": "forget_set_split.txt",
    "retain": "retaining_set_split.txt",
    "test": "test_set_split.txt",
}
TEXT_FIELDS = ("question", "query", "prompt")
NAME_FIELDS = ("subject", "name", "label", "entity")

Keyed = list[tuple[str, list[Question]]]


def read_clusters(directory: Path) -> list[Fact]:
    """Every base question as a fact, in file order. Raises DataError naming the entity and what was found."""
    path = next((directory / name for name in QUESTION_FILES if (directory / name).is_file()), None)
    if path is None:
        raise DataError(directory, f"expected one of the files {', '.join(QUESTION_FILES)}")
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(path, f"not JSON: {error.msg}", error.lineno) from error
    if not isinstance(content, dict) or not content:
        raise DataError(path, f"expected an object of entities such as 'Q76', found {_shape(content)}")
    clusters: list[Fact] = []
    for entity, body in content.items():
        clusters += _Entity(path, entity, body).clusters(len(clusters))
    return clusters


def read_indices(directory: Path, count: int) -> dict[str, list[int]]:
    """The cluster numbers of each split. Raises DataError for what is no number, too large, or used twice."""
    owner: dict[int, str] = {}
    indices: dict[str, list[int]] = {}
    for split, name in INDEX_FILES.items():
        path = directory / name
        if not path.is_file():
            raise DataError(path, "this index file is missing beside the others")
        indices[split] = []
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            if not line.strip().isdecimal() or int(line) >= count:
                raise DataError(
                    path, f"expected a cluster number from 0 to {count - 1}, found {line!r}", number
                )
            if (index := int(line)) in owner:
                raise DataError(path, f"cluster {index} is already in split {owner[index]}", number)
            owner[index] = split
            indices[split].append(index)
    return indices


class _Entity:
    """One entity of the question file: where it stands, for messages, and its sections."""

    def __init__(self, path: Path, name: str, body: Any) -> None:
        self.path, self.name = path, name
        if not isinstance(body, dict) or "hop1_unlearn" not in body:
            raise self._error(f"expected an object with 'hop1_unlearn', found {_shape(body)}")
        self.body: dict[str, Any] = body
        named = next((body[field] for field in NAME_FIELDS if isinstance(body.get(field), str)), None)
        self.subject = named or name

    def _error(self, problem: str) -> DataError:
        return DataError(self.path, f"entity {self.name}: {problem}")

    def clusters(self, first: int) -> list[Fact]:
        base = self._section("hop1_unlearn")
        if any(len(questions) != 1 for _, questions in base):
            raise self._error("expected one question per cluster in 'hop1_unlearn'")
        parts = {name: self._aligned(name, base) for name in ("hop1_test", "hop2_test", "same_object")}
        return [
            Fact(
                id=f"cluster-{first + index}",
                question=question.text,
                answer=question.answer,
                options=question.options,
                subject=self.subject,
                paraphrases=parts["hop1_test"][index],
                multi_hop=parts["hop2_test"][index],
                same_answer=parts["same_object"][index],
            )
            for index, (_, (question,)) in enumerate(base)
        ]

    def _section(self, name: str) -> Keyed:
        """The groups of questions in a section, with the key they stand under ("" in a list)."""
        content = self.body.get(name, [])
        if _is_question(content):
            return [("", [self._question(content, name)])]
        if isinstance(content, dict):
            return [(key, self._group(value, f"{name}[{key!r}]")) for key, value in content.items()]
        if isinstance(content, list):
            return [("", self._group(value, f"{name}[{index}]")) for index, value in enumerate(content)]
        raise self._error(f"expected a list or an object of questions in '{name}', found {_shape(content)}")

    def _group(self, value: Any, where: str) -> list[Question]:
        if isinstance(value, list):
            return [self._question(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if (
            isinstance(value, dict)
            and not _is_question(value)
            and value
            and all(map(_is_question, value.values()))
        ):
            return [self._question(item, f"{where}[{key!r}]") for key, item in value.items()]
        return [self._question(value, where)]

    def _question(self, value: Any, where: str) -> Question:
        if not _is_question(value):
            raise self._error(
                f"{where}: expected a question with one of {', '.join(TEXT_FIELDS)}, found {_shape(value)}"
            )
        text = next(value[field] for field in TEXT_FIELDS if field in value)
        answers = _strings(value.get("answers", value.get("answer")))
        wrong = _strings(value.get("false_answer_options"))
        if not isinstance(text, str) or not text.strip():
            raise self._error(f"{where}: the question's text is empty or no string")
        if not answers or not wrong:
            raise self._error(
                f"{where}: expected non-empty 'answers' and 'false_answer_options', found {_shape(value)}"
            )
        if set(answers) & set(wrong):
            raise self._error(
                f"{where}: {sorted(set(answers) & set(wrong))} are both answers and false options"
            )
        return Question(text, answers[0], wrong)

    def _aligned(self, name: str, base: Keyed) -> list[tuple[Question, ...]]:
        """The questions of a section per base question: by key, by their common answer, or by place."""
        groups = self._section(name)
        keys = [key for key, _ in base]
        if not groups:
            return [()] * len(base)
        if len(base) == 1:
            return [tuple(question for _, group in groups for question in group)]
        if all(keys) and {key for key, _ in groups} <= set(keys):
            found = dict(groups)
            return [tuple(found.get(key, ())) for key in keys]
        answers = [questions[0].answer for _, questions in base]
        flat = [question for _, group in groups for question in group]
        if (
            name != "hop2_test"
            and len(set(answers)) == len(answers)
            and {q.answer for q in flat} <= set(answers)
        ):
            return [tuple(question for question in flat if question.answer == answer) for answer in answers]
        if len(groups) == len(base) and not any(key for key, _ in groups):
            return [tuple(group) for _, group in groups]
        raise self._error(
            f"cannot tell to which of the {len(base)} questions of 'hop1_unlearn' those of '{name}' "
            f"belong: keys {keys} against {[key for key, _ in groups]}"
        )


def _is_question(value: Any) -> bool:
    return isinstance(value, Mapping) and any(field in value for field in TEXT_FIELDS)


def _strings(value: Any) -> tuple[str, ...]:
    """A string or a list of strings as a tuple; empty for anything else."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Sequence) or not all(isinstance(item, str) and item.strip() for item in value):
        return ()
    return tuple(value)


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with the keys {list(value)[:12]}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list) else type(value).__name__
