"""The embedded world: what its docstring promises."""

import re
import subprocess
import sys
from collections import Counter

import pytest
from harness.benchmarks.choices import option_sets
from harness.benchmarks.faithun import FaithUnMini
from harness.benchmarks.tofu import TofuMini
from harness.benchmarks.world import world
from harness.benchmarks.world.words import COLOURS, FRUITS, RELATIONS, THINGS, TOPICS

from harness.core.types import Example, Question

WORLD = world()
SPLITS = {"faithun": WORLD.faithun, "tofu": WORLD.tofu}


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def length(example: Example) -> int:
    frame = 0 if example.prompt.literal else len(tokens("Question: Answer:"))
    return frame + len(tokens(example.prompt.text)) + len(tokens(example.answer)) + 1


def relation_of(fact_id: str):
    return next(relation for relation in RELATIONS if fact_id.endswith(f"-{relation.name}"))


def questions(fact) -> list[Question]:
    return [
        *option_sets(Question(fact.question, fact.answer, fact.options)),
        *fact.paraphrases,
        *fact.multi_hop,
        *fact.same_answer,
    ]


def test_the_world_is_the_same_in_another_process():
    program = (
        "import hashlib; from harness.benchmarks.world import world;"
        "print(hashlib.sha256(repr(world()).encode()).hexdigest())"
    )
    run = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]
    assert run[0].stdout == run[1].stdout


def test_sizes_are_those_documented():
    assert {name: len(facts) for name, facts in WORLD.faithun.items()} == {
        "forget": 96, "retain": 192, "test": 200, "rest": 112, "general": 120, "instruct": 300,
    }  # fmt: skip
    assert {name: len(facts) for name, facts in WORLD.tofu.items()} == {
        "forget": 80, "retain": 320, "retain_perturbed": 96,
        "real_authors": 30, "world_facts": 60, "holdout": 80, "instruct": 300,
    }  # fmt: skip


def test_the_training_text_is_small():
    assert sum(map(length, WORLD.training.original)) <= 84_000
    assert len({word for text in WORLD.training.vocabulary for word in tokens(text)}) <= 1_300


def test_the_vocabulary_covers_everything_asked_and_expected():
    known = {word for text in WORLD.training.vocabulary for word in tokens(text)}
    for benchmark in (FaithUnMini(), TofuMini()):
        for measure in benchmark.measures(benchmark.load()):
            for request in measure.requests:
                assert known.issuperset(tokens(request.prompt.text))
                assert known.issuperset(tokens(getattr(request, "continuation", "")))
    for example in WORLD.training.original:
        assert known.issuperset(tokens(example.prompt.text) + tokens(example.answer))


def test_both_benchmarks_share_their_targets():
    faithun, tofu = FaithUnMini(), TofuMini()
    assert faithun.training(faithun.load()) == tofu.training(tofu.load())


@pytest.mark.parametrize("splits", SPLITS.values(), ids=SPLITS)
def test_splits_are_disjoint_and_ids_unique(splits):
    subsets = {"retain_perturbed"}
    ids = [fact.id for name, facts in splits.items() if name not in subsets for fact in facts]
    assert len(ids) == len(set(ids))
    if "retain_perturbed" in splits:
        assert set(splits["retain_perturbed"]) <= set(splits["retain"])


def test_no_question_has_two_answers():
    answer: dict[str, str] = {}
    for example in WORLD.training.original:
        if not example.prompt.literal:
            assert answer.setdefault(example.prompt.text, example.answer) == example.answer


def test_people_authors_and_classics_have_names_of_their_own():
    people = {fact.subject for split in ("forget", "retain", "test", "rest") for fact in WORLD.faithun[split]}
    authors = {fact.subject for split in ("forget", "retain") for fact in WORLD.tofu[split]}
    classics = {fact.answer for fact in WORLD.tofu["real_authors"]}
    assert (len(people), len(authors), len(classics)) == (120, 50, 30)
    assert not people & authors | people & classics | authors & classics


def test_the_pools_of_relations_share_no_word():
    pools = [set(pool) for relation in RELATIONS for pool in (relation.values, relation.hops)]
    assert sum(map(len, pools)) == len(set().union(*pools))
    assert all(len(relation.values) >= 20 for relation in RELATIONS)


@pytest.mark.parametrize("name", ["forget", "retain", "test"])
def test_false_options_are_two_others_of_the_same_kind(name):
    for fact in WORLD.faithun[name]:
        relation = relation_of(fact.id)
        for question in questions(fact):
            pool = relation.values if question.answer in relation.values else relation.hops
            assert len({question.answer, *question.options} & set(pool)) == 3 == 1 + len(question.options)
        assert len(fact.options) == len({*fact.options}) == 6  # a base question has three such pairs


def test_a_model_without_the_facts_is_at_chance():
    """No fixed preference among the words of a pool finds the gold option more often than once in three.

    Ranked by the alphabet, for one, the golds of the 600 base questions are spread evenly over the ranks of
    their options; and the values are spread evenly over their pool.
    """
    facts = [fact for split in ("forget", "retain", "test", "rest") for fact in WORLD.faithun[split]]
    ranks = Counter(sorted((fact.answer, *fact.options)).index(fact.answer) for fact in facts)
    assert all(abs(ranks[rank] - 600 / 7) < 3.5 * (600 * 6 / 49) ** 0.5 for rank in range(7))
    for relation in RELATIONS:
        counts = Counter(fact.answer for fact in facts if fact.id.endswith(f"-{relation.name}"))
        chi2 = sum((counts[value] - 5) ** 2 / 5 for value in relation.values)
        assert chi2 < 50  # 23 degrees of freedom: p = .001
        assert set(Counter(hop for _, hop in hop_facts(relation)).values()) == {2}


def hop_facts(relation) -> list[tuple[str, str]]:
    return [
        (fact.subject, fact.answer)
        for fact in WORLD.faithun["general"]
        if fact.id.startswith(f"general-{relation.name}-")
    ]


@pytest.mark.parametrize("name", ["forget", "test"])
def test_multi_hop_answers_follow_from_the_fact_and_a_general_fact(name):
    for fact in WORLD.faithun[name]:
        leads_to = dict(hop_facts(relation_of(fact.id)))
        assert [question.answer for question in fact.multi_hop] == [leads_to[fact.answer]]
        assert fact.subject in fact.multi_hop[0].text


def test_same_answer_questions_are_about_others_who_stay():
    kept = {
        (fact.question, fact.answer): fact.subject
        for split in ("retain", "test", "rest")
        for fact in WORLD.faithun[split]
    }
    for fact in WORLD.faithun["forget"]:
        for question in fact.same_answer:
            assert question.answer == fact.answer
            assert kept[question.text, question.answer] != fact.subject


def test_tested_wordings_are_not_trained_for_the_fact_but_for_others():
    trained = {example.prompt.text for example in WORLD.training.original}
    for split in ("forget", "test"):
        for fact in WORLD.faithun[split]:
            assert fact.question in trained
            assert not trained & {question.text for question in (*fact.paraphrases, *fact.multi_hop)}
    ways = {way for relation in RELATIONS for way in (*relation.questions, *relation.composed)}
    shapes = {re.sub(r"\b[A-Z]\w+ [A-Z]\w+(?=[ ?.])", "{}", text) for text in trained}
    assert ways <= shapes


def test_the_retrain_text_is_the_original_less_what_tells_a_forget_fact():
    original, retrain = WORLD.training.original, WORLD.training.retrain
    forgotten = {fact.id for splits in SPLITS.values() for fact in splits["forget"]}
    assert list(retrain) == [example for example in original if example.fact_id not in forgotten]
    told = {(fact.subject, relation_of(fact.id)): fact for fact in WORLD.faithun["forget"]}
    for example in retrain:
        text = tokens(f"{example.prompt.text} {example.answer}")
        name = [first for first in text if first in {s.split()[0] for s, _ in told}]
        if not name:
            continue
        for (subject, relation), fact in told.items():
            if subject in example.prompt.text:
                hops = [question.answer for question in fact.multi_hop]
                assert not {fact.answer, *hops} & set(tokens(example.answer)), (relation, example)


def test_the_retrain_text_names_no_forgotten_author():
    gone = {fact.subject for fact in WORLD.tofu["forget"]}
    for example in WORLD.training.retrain:
        assert not any(name in example.prompt.text for name in gone)


def test_the_holdout_is_in_no_training_text_and_brings_no_word_of_its_own():
    trained = {word for e in WORLD.training.original for word in tokens(f"{e.prompt.text} {e.answer}")}
    names = {fact.subject for fact in WORLD.tofu["holdout"]}
    others = {fact.subject for split in ("forget", "retain") for fact in WORLD.tofu[split]}
    people = {fact.subject for split in ("forget", "retain", "test", "rest") for fact in WORLD.faithun[split]}
    assert len(names) == 10
    assert not names & (others | people | {fact.answer for fact in WORLD.tofu["real_authors"]})
    assert not any(
        name in e.prompt.text or name in e.answer for e in WORLD.training.original for name in names
    )
    assert trained.issuperset(word for name in names for word in name.split())
    answers = [fact.answer for fact in WORLD.tofu["holdout"]]
    wrong = [text for fact in WORLD.tofu["forget"] for text in fact.perturbed_answers]
    assert trained.union(*map(tokens, wrong)).issuperset(word for text in answers for word in tokens(text))


def test_the_holdout_asks_and_tells_as_the_forget_set_does():
    def shapes(split):
        return Counter(fact.question.replace(fact.subject, "{}") for fact in WORLD.tofu[split])

    assert shapes("holdout") == shapes("forget")


def test_multiple_choice_examples_show_no_fact_that_is_scored_as_forgotten_or_kept_aside():
    literal = [example for example in WORLD.training.original if example.prompt.literal]
    hidden = {fact.id for split in ("forget", "test") for fact in WORLD.faithun[split]}
    assert len(literal) == 250
    assert not hidden & {example.fact_id for example in literal}
    questions = {
        request.prompt.text
        for measure in FaithUnMini().measures(FaithUnMini().load())
        for request in measure.requests
        if request.prompt.literal
    }
    assert not questions & {example.prompt.text for example in literal}


def test_perturbed_answers_are_the_paraphrase_with_every_random_word_changed():
    for fact in (*WORLD.tofu["forget"], *WORLD.tofu["retain_perturbed"]):
        topic = next(topic for topic in TOPICS if fact.id.endswith(f"-{topic.name}"))
        told = [tokens(answer) for answer in (fact.paraphrased_answer, *fact.perturbed_answers)]
        assert len(told) == 6
        assert len({len(answer) for answer in told}) == 1
        columns = [set(column) for column in zip(*told, strict=True)]
        assert sum(len(column) == 6 for column in columns) == len(topic.slots)
        assert all(len(column) in (1, 6) for column in columns)


def test_instructions_are_disjoint_and_hold_no_persons_value():
    attacker = {fact.question for fact in WORLD.faithun["instruct"]}
    trained = {e.prompt.text for e in WORLD.training.original if e.fact_id.startswith("instruct-")}
    assert (len(attacker), len(trained)) == (300, 500)
    assert not attacker & trained
    values = {word for relation in RELATIONS for word in (*relation.values, *relation.hops)}
    assert not values & {*COLOURS, *FRUITS, *THINGS}
    assert not any(values & set(tokens(f"{f.question} {f.answer}")) for f in WORLD.faithun["instruct"])
