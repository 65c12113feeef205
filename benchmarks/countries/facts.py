"""What is asked about countries: every fact that the table has an answer to, in FaithUn's schema."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
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
    known = [(relation, country) for relation in RELATIONS for country in table if relation in country.answers]
    return tuple(_fact(table, relation, country, seed) for relation, country in known)


def relation_of(fact: Fact) -> str:
    """The relation that a fact of :func:`all_facts` is of."""
    return fact.id.partition("-")[0]


def _fact(table: Sequence[Country], name: str, country: Country, seed: int) -> Fact:
    relation = RELATIONS[name]

    base = _question(table, relation.question.format(country.name), name, country, seed, OPTION_SETS)
    capital = country.answers.get("capital", ())[:1]
    hops = [of for of in country.answers if RELATIONS[of].multi_hop and name in (of, "capital")]
    alike = [
        other
        for other in table
        if other is not country and other.answers.get(name, ())[:1] == country.answers[name][:1]
    ]
    chosen = Random(f"{seed}|{base.text}|same answer").sample(alike, min(SAME_ANSWER, len(alike)))
    return Fact(
        id=f"{name}-{country.code}",
        question=base.text,
        answer=base.answer,
        options=base.options,
        aliases=base.aliases,
        subject=country.name,
        paraphrases=tuple(
            _question(table, way.format(country.name), name, country, seed) for way in relation.paraphrases
        ),
        multi_hop=tuple(
            _question(table, RELATIONS[of].multi_hop.format(city), of, country, seed)
            for city in capital
            for of in hops
        ),
        same_answer=tuple(
            _question(table, relation.question.format(other.name), name, other, seed) for other in chosen
        ),
    )


def _question(
    table: Sequence[Country], text: str, relation: str, country: Country, seed: int, sets: int = 1
) -> Question:
    """A question whose false options are answers of other countries: of the same region, if it has enough.

    No option begins a right answer, or begins with one: the shorter would always be the likelier.
    """
    right = country.answers[relation]
    near: set[str] = set()
    far: set[str] = set()
    for other in table:
        option = other.answers.get(relation, right)[0]
        if not any(option.startswith(answer) or answer.startswith(option) for answer in right):
            (near if other.region == country.region else far).add(option)
    rng = Random(f"{seed}|{text}")
    pools = [sorted(near), sorted(far - near)]
    options = [option for pool in pools for option in rng.sample(pool, len(pool))]
    count = min(sets, len(options) // FALSE_OPTIONS) * FALSE_OPTIONS
    return Question(text, right[0], tuple(options[:count]), right[1:])
