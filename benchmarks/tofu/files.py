"""Read TOFU's records as facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from harness import DataError, Fact, Question

from ..records import Record

HUB_ID = "locuslab/TOFU"


def to_facts(
    records: Sequence[Record],
    count: int | None = None,
    perturbed: int = 0,
    paraphrased: bool = False,
    unlike: Sequence[Fact] = (),
    among: Sequence[Fact] | None = None,
) -> tuple[Fact, ...]:
    """Records as facts, keyed on the (question, answer) pair, which must be unique.

    ``count`` is how many there are in the whole file, ``perturbed`` the number of perturbed answers asked
    for; ``paraphrased`` asks for both paraphrases. No fact may be one of ``unlike``, and each must be one of
    ``among``. Raises DataError for the first record that is not what was asked for.
    """
    taken, allowed = ({fact.id for fact in given or ()} for given in (unlike, among))
    facts: dict[str, Fact] = {}
    for record in records:
        question, answer = record.text("question"), record.text("answer")
        key = "tofu-" + hashlib.sha256(json.dumps([question, answer]).encode()).hexdigest()[:16]
        if key in facts:
            raise record.error(f"this question and answer were there before: {question!r}")
        if key in taken:
            raise record.error(f"expected no fact of another split, found one: {question!r}")
        if among is not None and key not in allowed:
            raise record.error(f"expected a fact of the retain split, found another: {question!r}")
        again = record.text("paraphrased_answer") if paraphrased else None
        facts[key] = Fact(
            id=key,
            question=question,
            answer=answer,
            paraphrases=(Question(record.text("paraphrased_question"), again),) if again is not None else (),
            paraphrased_answer=again,
            perturbed_answers=record.texts("perturbed_answer", perturbed) if perturbed else (),
        )
    if count is not None and len(facts) != count:
        raise DataError(records[0].source, f"expected {count} records, found {len(facts)}: some are missing")
    return tuple(facts.values())
