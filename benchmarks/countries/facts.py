"""What is asked about countries: every fact that the table has an answer to, in FaithUn's schema."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from harness import Fact, Question

from ..choices import FALSE_OPTIONS

OPTION_SETS = 3
"""Times that a base question is asked, each with two other false options."""

SAME_ANSWER = 2
"""Questions of other countries with the same answer that a fact has, or all there are if fewer."""


@dataclass(frozen=True, slots=True)
class Country:
    """A row of the table. ``answers`` are the texts that are right, by relation; the first is the answer."""

    code: str
    name: str
    region: str
    answers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Relation:
    """Ways to ask for one thing about a country, and ``multi_hop`` of the country with a capital."""

    question: str
    paraphrases: tuple[str, str]
    multi_hop: str = ""


RELATIONS = {
    "capital": Relation(
        "What is the capital of {}?",
        ("Which city is the capital of {}?", "Name the capital city of {}."),
    ),
    "currency": Relation(
        "What is the currency of {}?",
        ("Which currency is used in {}?", "Name the money that people pay with in {}."),
        "What is the currency of the country whose capital is {}?",
    ),
    "language": Relation(
        "What is the official language of {}?",
        ("Which language is the official one in {}?", "Name the official language of {}."),
        "What is the official language of the country whose capital is {}?",
    ),
    "continent": Relation(
        "On which continent is {} located?",
        ("Which continent does {} belong to?", "Name the continent of {}."),
        "On which continent is the country whose capital is {} located?",
    ),
}


def read_table() -> tuple[Country, ...]:
    """The countries, in the order of their codes."""
    with Path(__file__).with_name("table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return tuple(
        Country(
            row["code"],
            row["name"],
            row["region"],
            {relation: tuple(row[relation].split("|")) for relation in RELATIONS if row[relation]},
        )
        for row in rows
    )


def all_facts(table: Sequence[Country], seed: int) -> tuple[Fact, ...]:
    """Every fact of the table. The seed decides false options, and whom a ``same_answer`` is about."""
    return tuple(_Facts(table, seed))


def relation_of(fact: Fact) -> str:
    """The relation that a fact of :func:`all_facts` is of."""
    return fact.id.partition("-")[0]


class _Facts:
    """The facts of a table, with the countries of each answer and the answers of each continent."""

    def __init__(self, table: Sequence[Country], seed: int) -> None:
        self.table, self.seed = table, seed
        self.countries: dict[tuple[str, str], list[Country]] = defaultdict(list)
        self.options: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for country in table:
            for relation, (answer, *_) in country.answers.items():
                self.countries[relation, answer].append(country)
                self.options[relation][country.region].add(answer)

    def __iter__(self) -> Iterator[Fact]:
        for name in RELATIONS:
            for country in self.table:
                if name in country.answers:
                    yield self._fact(name, country)

    def _fact(self, name: str, country: Country) -> Fact:
        relation = RELATIONS[name]
        base = self._question(relation.question, name, country, sets=OPTION_SETS)
        alike = [other for other in self.countries[name, base.answer] if other is not country]
        chosen = self._random(f"{base.text}|same answer").sample(alike, min(SAME_ANSWER, len(alike)))
        hops = [of for of in country.answers if RELATIONS[of].multi_hop and name in (of, "capital")]
        return Fact(
            id=f"{name}-{country.code}",
            question=base.text,
            answer=base.answer,
            options=base.options,
            aliases=base.aliases,
            subject=country.name,
            paraphrases=tuple(self._question(way, name, country) for way in relation.paraphrases),
            multi_hop=tuple(
                self._question(RELATIONS[of].multi_hop, of, country, subject=capital)
                for capital in country.answers.get("capital", ())[:1]
                for of in hops
            ),
            same_answer=tuple(self._question(relation.question, name, other) for other in chosen),
        )

    def _question(
        self, template: str, relation: str, country: Country, subject: str = "", sets: int = 1
    ) -> Question:
        """A question with false options: answers of other countries, of the same region if it has enough.

        No option begins a right answer, or begins with one: the shorter would always be the likelier.
        """
        text, right = template.format(subject or country.name), country.answers[relation]
        near = self.options[relation][country.region]
        far = set().union(*self.options[relation].values()) - near
        rng, options, count = self._random(text), list[str](), sets * FALSE_OPTIONS
        for pool in map(sorted, (near, far)):
            false = [o for o in pool if not any(o.startswith(a) or a.startswith(o) for a in right)]
            options += rng.sample(false, min(count, len(false)))
        count = min(count, len(options) // FALSE_OPTIONS * FALSE_OPTIONS)
        return Question(text, right[0], tuple(options[:count]), right[1:])

    def _random(self, what: str) -> Random:
        return Random(f"{self.seed}|{what}")
