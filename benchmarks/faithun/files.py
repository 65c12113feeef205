"""Reads the authors' FaithUn files.

The exact nesting of the question file is not documented, so several plausible ones are read, and whatever
fits none is reported with the keys that were found. No guess is made that could mix up two clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from harness import DataError, Fact, Question, metrics

from ..choices import FALSE_OPTIONS
from ..records import parsed, read_text

QUESTION_FILES = ("FaithUn_Dataset.json", "FaithUnBench.json")
INDEX_FILES = {
    "forget": "forget_set_split.txt",
    "retain": "retaining_set_split.txt",
    "test": "test_set_split.txt",
}
BASE, PARTS = "hop1_unlearn", ("hop1_test", "hop2_test", "same_object")
TEXT_FIELDS = ("question", "query", "prompt")
NAME_FIELDS = ("subject", "name", "label", "entity")

Keyed = list[tuple[str, list[Question]]]


def read_clusters(directory: Path, count: int, seed: int) -> list[Fact]:
    """Every base question as a fact, in file order, each question with exactly two false options.

    Where the file has more, ``seed`` and the question decide which. Raises DataError naming file, entity and
    field, what was expected and what was found; also where there are not ``count`` base questions.
    """
    path = next((directory / name for name in QUESTION_FILES if (directory / name).is_file()), None)
    if path is None:
        raise DataError(directory, f"expected one of the files {', '.join(QUESTION_FILES)}")
    content = _parsed(path)
    if not isinstance(content, dict) or not content:
        raise DataError(path, f"expected an object of entities such as 'Q76', found {_shape(content)}")
    clusters: list[Fact] = []
    for entity, body in content.items():
        clusters += _Entity(path, entity, body, seed).clusters(len(clusters))
    for part in PARTS:
        if not any(part in body for body in content.values()):
            keys = sorted({key for body in content.values() for key in body})
            raise DataError(path, f"expected '{part}' in the entities, found none; their keys are {keys}")
    if len(clusters) != count:
        raise DataError(
            path,
            f"expected {count} base questions ('{BASE}'), as the index files number them, "
            f"found {len(clusters)}; if yours were made for another number, set 'clusters' of this benchmark",
        )
    return clusters


def read_indices(directory: Path, count: int) -> dict[str, list[int]]:
    """The cluster numbers of each split, in the order of its file, 0 to ``count`` - 1.

    Raises DataError for a file that is missing or empty, and for what is no number, too large, or used twice.
    """
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
            figures = line.strip()
            if not figures.isdecimal() or len(figures) > 18 or int(figures) >= count:
                raise DataError(
                    path, f"expected a cluster number from 0 to {count - 1}, found {line[:80]!r}", number
                )
            if (index := int(line)) in owner:
                where = "this file" if owner[index] == split else INDEX_FILES[owner[index]]
                raise DataError(
                    path, f"cluster {index} stands in {where} already; each belongs to one split", number
                )
            owner[index] = split
            indices[split].append(index)
        if not indices[split]:
            raise DataError(path, f"the file holds no cluster number; expected some from 0 to {count - 1}")
    return indices


def _parsed(path: Path) -> Any:
    """The content of a JSON file in which no object has two equal keys: json would keep only the last."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise DataError(path, f"the key '{key}' stands twice in one object; each may stand once")
            found[key] = value
        return found

    return parsed(path, read_text(path), whole=unique)


class _Entity:
    """One entity of the question file: where it stands, for messages, and its sections."""

    def __init__(self, path: Path, name: str, body: Any, seed: int) -> None:
        self.path, self.name, self.seed = path, name, seed
        if not isinstance(body, dict) or BASE not in body:
            raise self._error(f"expected an object with '{BASE}', found {_shape(body)}")
        self.body: dict[str, Any] = body
        named = next((body[field] for field in NAME_FIELDS if isinstance(body.get(field), str)), None)
        self.subject = named or name

    def _error(self, problem: str) -> DataError:
        return DataError(self.path, f"entity {self.name}: {problem}")

    def clusters(self, first: int) -> list[Fact]:
        """A fact for each base question, numbered from ``first``."""
        base = self._section(BASE)
        if any(len(questions) != 1 for _, questions in base):
            raise self._error(f"expected one question per cluster in '{BASE}'")
        parts = {name: self._aligned(name, base) for name in PARTS}
        return [
            Fact(
                id=f"cluster-{first + index}",
                question=question.text,
                answer=question.answer,
                options=question.options,
                aliases=question.aliases,
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
        if isinstance(value, dict) and value and all(map(_is_question, value.values())):
            return [self._question(item, f"{where}[{key!r}]") for key, item in value.items()]
        return [self._question(value, where)]

    def _question(self, value: Any, where: str) -> Question:
        if not _is_question(value):
            raise self._error(
                f"{where}: expected a question with one of {', '.join(TEXT_FIELDS)}, found {_shape(value)}"
            )
        field = next(field for field in TEXT_FIELDS if field in value)
        text = value[field]
        if not isinstance(text, str) or not text.strip():
            raise self._error(f"{where}: expected a non-empty text in '{field}', found {_shape(text)}")
        answers = self._texts(value, "answers", where)
        options = reversed(self._texts(value, "false_answer_options", where))
        wrong = {metrics.bare(option): option for option in options}
        if both := sorted(wrong.keys() & set(map(metrics.bare, answers))):
            raise self._error(f"{where}: {both} are both 'answers' and 'false_answer_options'")
        if len(wrong) < FALSE_OPTIONS:
            raise self._error(
                f"{where}: expected at least {FALSE_OPTIONS} different 'false_answer_options', "
                f"found {sorted(wrong.values())}"
            )
        offered = tuple(reversed(wrong.values()))
        if len(offered) > FALSE_OPTIONS:
            offered = tuple(Random(f"{self.seed}|{text}").sample(offered, FALSE_OPTIONS))
        return Question(text, answers[0], offered, answers[1:])

    def _texts(self, question: Mapping[str, Any], field: str, where: str) -> tuple[str, ...]:
        """The texts of a field, which may be one text for a list of one; different ones, in their order."""
        value = question.get(field)
        texts = [value] if isinstance(value, str) else value
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(t, str) and t.strip() for t in texts)
        ):
            raise self._error(
                f"{where}: expected a list of non-empty texts in '{field}', found "
                f"{_shape(value) if field in question else _shape(question)}"
            )
        return tuple(dict.fromkeys(texts))

    def _aligned(self, name: str, base: Keyed) -> list[tuple[Question, ...]]:
        """The questions of a section per base question: by key, by their common answer, or by place."""
        groups = self._section(name)
        if not groups:
            return [()] * len(base)
        if len(base) == 1:
            return [tuple(question for _, group in groups for question in group)]
        keys, found = [key for key, _ in base], dict(groups)
        if all(keys) and found.keys() <= set(keys):
            return [tuple(found.get(key, ())) for key in keys]
        owners = [{question.answer, *question.aliases} for _, (question,) in base]

        def owned(question: Question) -> list[int]:
            """The base questions it can belong to. A multi-hop question has an answer of its own."""
            mine = {question.answer, *question.aliases}
            return [i for i, theirs in enumerate(owners) if name == "hop2_test" or mine & theirs]

        flat = [(question, owned(question)) for _, group in groups for question in group]
        if all(len(indices) == 1 for _, indices in flat):
            return [tuple(q for q, indices in flat if indices == [i]) for i in range(len(base))]
        placed = len(groups) == len(base) and not any(found)
        if placed and all(i in owned(q) for i, (_, group) in enumerate(groups) for q in group):
            return [tuple(group) for _, group in groups]
        raise self._error(
            f"cannot tell to which of the {len(base)} questions of '{BASE}' those of '{name}' "
            f"belong: keys {keys} against {[key for key, _ in groups]}"
        )


def _is_question(value: Any) -> bool:
    return isinstance(value, Mapping) and any(field in value for field in TEXT_FIELDS)


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with the keys {list(value)[:12]}"
    if isinstance(value, list | str) and not value:
        return f"an empty {type(value).__name__}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list) else type(value).__name__
