"""Countries: the table, what is asked about it, how splits are drawn, and the instructions beside it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from random import Random

import pytest
from harness.benchmarks.countries import Countries
from harness.benchmarks.countries.facts import all_facts, read_table, relation_of
from harness.benchmarks.countries.instructions import make_instructions
from harness.benchmarks.countries.splits import Sizes, sample_splits

from harness.core.types import Fact, Question, Splits
from harness.errors import ConfigError
from harness.plugins.registry import Registry
from harness.testing import check_benchmark
from support.command import harness_cli

TABLE = read_table()
POOL = all_facts(TABLE, seed=0)
SIZES = Sizes(forget=33, retain=66, test=60)
FORGETTABLE = ("capital", "currency")


def questions(fact: Fact) -> list[Question]:
    """Every question that a fact is asked with."""
    base = Question(fact.question, fact.answer, fact.options, fact.aliases)
    return [base, *fact.paraphrases, *fact.multi_hop, *fact.same_answer]


# --- the table


def test_there_are_the_members_of_the_united_nations():
    assert len({country.code for country in TABLE}) == len({country.name for country in TABLE}) == 193
    regions = {"Africa", "Asia", "Europe", "North America", "Oceania", "South America"}
    assert {country.region for country in TABLE} == regions


def test_each_relation_has_answers_enough():
    asked = Counter(map(relation_of, POOL))
    assert asked == {"capital": 158, "currency": 183, "language": 67, "continent": 181}
    assert len({fact.id for fact in POOL}) == len({fact.question for fact in POOL}) == len(POOL)


def test_texts_of_an_answer_are_different_and_none_has_odd_spaces():
    for country in TABLE:
        for texts in country.answers.values():
            assert len(set(texts)) == len(texts)
            assert all(text == " ".join(text.split()) != "" for text in texts)


def test_no_two_countries_share_a_capital():
    capitals = [text for country in TABLE for text in country.answers.get("capital", ())]
    assert len(set(capitals)) == len(capitals)


def test_well_known_facts_are_right():
    known = {fact.question: fact.answer for fact in POOL}
    assert known["What is the capital of Kenya?"] == "Nairobi"
    assert known["What is the currency of the Philippines?"] == "Peso"
    assert known["What is the official language of Brazil?"] == "Portuguese"
    assert known["On which continent is Chad located?"] == "Africa"


@pytest.mark.parametrize(
    ("relation", "code"),
    [
        *(("capital", code) for code in ("MX", "DJ", "GT", "ZA", "BO")),
        *(("currency", code) for code in ("AF", "PA", "BG")),
        *(("language", code) for code in ("CH", "FR", "DK", "IN")),
        *(("continent", code) for code in ("RU", "TR", "ZA", "AU")),
    ],
)
def test_what_has_several_answers_or_gives_its_answer_away_is_not_asked(relation, code):
    assert f"{relation}-{code}" not in {fact.id for fact in POOL}


# --- the facts


def test_no_answer_stands_in_its_question():
    for fact in POOL:
        for question in questions(fact):
            for answer in (question.answer, *question.aliases):
                assert not re.search(rf"\b{re.escape(answer)}\b", question.text, re.IGNORECASE), question


def test_no_option_is_right_or_begins_as_a_right_one_does():
    for fact in POOL:
        for question in questions(fact):
            assert len(set(question.options)) == len(question.options)
            for option in question.options:
                for answer in (question.answer, *question.aliases):
                    assert not option.startswith(answer), question
                    assert not answer.startswith(option), question


def test_questions_have_two_false_options_and_base_questions_several_pairs():
    for fact in POOL:
        base, *others = questions(fact)
        assert len(base.options) == (4 if relation_of(fact) == "continent" else 6)
        assert all(len(question.options) == 2 for question in others)
        assert len(fact.paraphrases) == 2


def test_options_are_answers_of_the_same_relation_and_continent():
    of = defaultdict(set)
    for country in TABLE:
        for relation, texts in country.answers.items():
            of[relation, country.region].add(texts[0])
    for country in TABLE:
        if "capital" in country.answers:
            [fact] = [fact for fact in POOL if fact.id == f"capital-{country.code}"]
            assert set(fact.options) <= of["capital", country.region]


def test_option_seed_decides_the_false_options_and_nothing_else():
    other = all_facts(TABLE, seed=1)
    assert all_facts(TABLE, seed=0) == POOL
    assert [(f.id, f.question, f.answer) for f in other] == [(f.id, f.question, f.answer) for f in POOL]
    assert sum(a.options != b.options for a, b in zip(other, POOL, strict=True)) > 0.9 * len(POOL)


def test_a_multi_hop_question_leads_over_the_capital():
    found = {fact.id: fact for fact in POOL}
    assert [(q.text, q.answer) for q in found["capital-KE"].multi_hop] == [
        ("What is the currency of the country whose capital is Nairobi?", "Shilling"),
        ("On which continent is the country whose capital is Nairobi located?", "Africa"),
    ]
    assert [q.text for q in found["currency-KE"].multi_hop] == [
        "What is the currency of the country whose capital is Nairobi?"
    ]
    assert found["currency-TZ"].multi_hop == ()  # nobody asks for its capital


def test_same_answer_asks_about_another_country():
    known = {fact.question: fact for fact in POOL}
    for fact in POOL:
        assert (relation_of(fact) == "capital") <= (fact.same_answer == ())
        for question in fact.same_answer:
            other = known[question.text]
            assert other.subject != fact.subject
            assert (relation_of(other), other.answer) == (relation_of(fact), fact.answer)


# --- the splits


@pytest.fixture(params=range(4))
def splits(request) -> Splits:
    return sample_splits(POOL, request.param, SIZES, FORGETTABLE)


def test_splits_are_disjoint_and_as_large_as_asked(splits):
    assert {name: len(facts) for name, facts in splits.items()} == SIZES._asdict()
    assert len({fact.id for facts in splits.values() for fact in facts}) == sum(SIZES)


def test_forgotten_is_one_fact_of_a_country_and_one_of_an_answer(splits):
    forget = splits["forget"]
    assert {relation_of(fact) for fact in forget} == set(FORGETTABLE)
    assert len({fact.subject for fact in forget}) == len({fact.answer for fact in forget}) == len(forget)
    assert any(fact.same_answer for fact in forget)


def test_what_depends_on_a_forgotten_fact_is_in_no_other_split(splits):
    forgotten = {fact.subject for fact in splits["forget"]}
    sharing = {question.text for fact in splits["forget"] for question in fact.same_answer}
    assert forgotten.isdisjoint(fact.subject for fact in splits["test"])
    assert sharing.isdisjoint(fact.question for fact in (*splits["forget"], *splits["retain"]))


def test_splits_depend_on_the_facts_and_the_seed_alone():
    first = sample_splits(POOL, 0, SIZES, FORGETTABLE)
    shuffled = Random(5).sample(POOL, len(POOL))
    assert dict(sample_splits(iter(shuffled), 0, SIZES, FORGETTABLE)) == dict(first)
    assert sample_splits(POOL, 1, SIZES, FORGETTABLE)["forget"] != first["forget"]


def test_splits_can_be_drawn_from_a_part_of_the_facts():
    part = Random(0).sample(POOL, 300)
    found = sample_splits(part, 0, SIZES, FORGETTABLE)
    assert {fact.id for facts in found.values() for fact in facts} <= {fact.id for fact in part}


def test_a_pool_that_is_too_small_is_one_sentence():
    with pytest.raises(
        ConfigError, match=r"retain=66 of the countries is too many: of 100 facts .*"
    ) as found:
        sample_splits(POOL[:100], 0, SIZES, FORGETTABLE)
    assert "\n" not in str(found.value)


def test_settings_decide_the_splits():
    made = Countries(Countries.Config(relations=("language",), forget=5, retain=4, test=3, split_seed=2))
    found = made.load()
    assert {name: len(found[name]) for name in SIZES._fields} == {"forget": 5, "retain": 4, "test": 3}
    assert {relation_of(fact) for fact in found["forget"]} == {"language"}
    assert made.pool() == POOL


# --- instructions


def test_instructions_are_different_and_name_nothing_of_the_table():
    facts = make_instructions()
    assert len({fact.id for fact in facts}) == len({fact.question for fact in facts}) == len(facts) == 300
    assert make_instructions(40) == facts[:40]
    words = set(re.findall(r"\w+", " ".join(f"{fact.question} {fact.answer}" for fact in facts).lower()))
    names = {text.lower() for c in TABLE for texts in c.answers.values() for text in texts}
    names |= {country.name.lower().removeprefix("the ") for country in TABLE}
    assert words.isdisjoint(names)
    assert words.isdisjoint({"currency", "language", "continent", "country"})


def test_answers_to_instructions_are_right():
    for fact in make_instructions():
        if sum_ := re.fullmatch(r"(\d+) (.) (\d+) = (\d+)", fact.answer):
            a, sign, b, result = sum_.groups()
            assert {"+": int(a) + int(b), "-": int(a) - int(b), "×": int(a) * int(b)}[sign] == int(result)
        if fact.question.startswith("How many letters"):
            word, count = re.search(r"'(\w+)' has (\d+)", fact.answer).groups()
            assert len(word) == int(count)
        if fact.question.startswith("Put these words"):
            words = re.findall(r"\w+", fact.question.split(": ")[1].replace(" and ", " "))
            assert fact.answer == ", ".join(sorted(words))


def test_a_file_of_instructions_replaces_them(tmp_path):
    (tmp_path / "mine.json").write_text('[{"instruction": "Say hello.", "output": "Hello."}]')
    loaded = Countries(Countries.Config(instruct=str(tmp_path / "mine.json"))).load()
    assert [(fact.question, fact.answer) for fact in loaded["instruct"]] == [("Say hello.", "Hello.")]


# --- as a plugin


def test_what_the_class_says_of_its_metrics_is_what_the_defaults_give():
    for name in ("forget_metric", "curve_metrics", "retain_metric", "reports"):
        assert getattr(Countries, name) == getattr(Countries(), name)


def test_it_keeps_every_rule_for_benchmarks():
    assert {result.status for result in check_benchmark(Registry().benchmark("countries").load())} == {"ok"}


def test_the_embedded_model_is_refused_in_one_sentence(tmp_path):
    ended = harness_cli(
        *("run", "--benchmarks", "countries", "--methods", "none", "--attacks", "none", "--no-controls"),
        *("--results", tmp_path / "results", "--cache", tmp_path / "cache"),
    )
    assert ended.code == 2
    assert ended.sentence == (
        "--model tiny knows nothing of countries, which trains no model: give a model directory or a hub id."
    )
