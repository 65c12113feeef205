"""Which facts are to be forgotten, which retained, which tested: a pure function of facts and seed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from random import Random
from typing import NamedTuple

from harness import ConfigError, Fact, Splits

from .facts import relation_of


class Sizes(NamedTuple):
    """Facts of each split."""

    forget: int
    retain: int
    test: int


def sample_splits(facts: Iterable[Fact], seed: int, sizes: Sizes, relations: Collection[str]) -> Splits:
    """Split a pool of facts: all there are, or those that a model was found to know. Their order is nothing.

    To be forgotten are facts of ``relations``, of different countries and with different answers. So no fact
    that shares an answer with one, or leads over its country to another, is to be forgotten as well. Nothing
    of these countries is in ``test``, where a question may lead over what was forgotten; and ``retain``,
    which methods train on, has no question that asks for a forgotten answer (``same_answer``).

    Raises ConfigError where the pool is too small.
    """
    pool = sorted(facts, key=lambda fact: fact.id)
    Random(f"countries|{seed}").shuffle(pool)
    forget: list[Fact] = []
    for fact in pool:
        new = all(fact.subject != other.subject and fact.answer != other.answer for other in forget)
        if new and relation_of(fact) in relations:
            forget.append(fact)
    forget = forget[: sizes.forget]
    forgotten = {fact.subject for fact in forget}
    test = [fact for fact in pool if fact.subject not in forgotten][: sizes.test]
    used = {fact.id for fact in (*forget, *test)}
    sharing = {question.text for fact in forget for question in fact.same_answer}
    retain = [fact for fact in pool if fact.id not in used and fact.question not in sharing][: sizes.retain]
    splits = {"forget": tuple(forget), "retain": tuple(retain), "test": tuple(test)}
    for name, size in sizes._asdict().items():
        if len(splits[name]) < size:
            raise ConfigError(
                f"{name}={size} of the countries is too many: of {len(pool)} facts that are asked, "
                f"{len(splits[name])} are left for it; give fewer, or more 'relations'."
            )
    return Splits(splits)
