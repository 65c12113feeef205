"""What cells of a submission say of each other and of those of maintainers, rule by rule."""

from __future__ import annotations

import pytest

from harness.core.names import CONTROLS
from harness.leaderboard.reading import read
from harness.leaderboard.submissions import VARIED, Submitted, problems
from harness.store.store import Store, tables
from support.cells import cell
from support.sound import scored

STRANGE = {"method_plugin": "strange 0.1"}


@pytest.fixture
def looked_at(tmp_path):
    """What is looked at of cells of maintainers and of a submission."""

    def look(committed, submitted):
        each = []
        for place, cells in (("theirs", committed), ("mine", submitted)):
            for row, outcome in cells:
                Store(tmp_path / place).commit(row, outcome)
            found = tables([Store(tmp_path / place)])
            each.append(read(found[0].to_pylist(), *found[1:]))
        names = {"method": {*CONTROLS, "gd"}, "attack": {"private-data"}, "benchmark": {"world"}}
        return Submitted(each[1], (), each[0], {**names, "analysis": set()})

    return look


def said(submitted, word):
    return [sentence for sentence in problems(submitted) if word in sentence]


def graded(method, values, **changes):
    """A cell whose model gave each fact so much of its answer."""
    row, _ = cell(method, **changes)
    return row, scored("forget", "accuracy", values)


SHARES = [(fact + 1) / 32 for fact in range(20)]


def test_numbers_of_another_method_to_the_last_digit_are_a_copy(looked_at):
    found = looked_at([graded("gd", SHARES)], [graded("mine", SHARES, **STRANGE)])
    assert said(found, "last digit") == [
        "world mine none seed 0 has to the last digit the numbers of world gd none seed 0"
    ]


@pytest.mark.parametrize(
    ("committed", "method", "values"),
    [
        ("gd", "mine", [*SHARES[:-1], SHARES[-1] + 1e-12]),  # one number is another
        ("gd", "gd+mine", SHARES),  # a modifier may leave its method as it is
        ("none", "mine", SHARES),  # what does nothing is the original
        ("gd", "mine", [*SHARES[: VARIED - 1], *[1.0] * (21 - VARIED)]),  # few numbers agree by chance
    ],
)
def test_what_no_copy_is_is_not_called_one(looked_at, committed, method, values):
    theirs = SHARES if len({*values}) > VARIED else values
    found = looked_at([graded(committed, theirs)], [graded(method, values, **STRANGE)])
    assert said(found, "last digit") == []


def test_the_code_of_a_known_method_goes_by_its_name(looked_at):
    theirs = [cell("gd", known=4, method_source="a" * 64)]
    found = looked_at(theirs, [cell("mine", known=4, method_source="a" * 64, **STRANGE)])
    assert said(found, "has the code") == ["the method 'mine' has the code of gd"]


@pytest.mark.parametrize(("name", "source"), [("mine", "b"), ("gd", "a")])
def test_code_of_its_own_has_any_name_and_known_code_its_own(looked_at, name, source):
    theirs = [cell("gd", known=4, method_source="a" * 64)]
    found = looked_at(theirs, [cell(name, seed=1, known=4, method_source=source * 64, **STRANGE)])
    assert said(found, "has the code") == []


def under_attack(original, mine, **changes):
    return (
        [cell("none", "private-data", known=original)],
        [cell("mine", "private-data", known=mine, **STRANGE, **changes)],
    )


def test_no_method_knows_more_than_the_original_under_the_same_attack(looked_at):
    found = looked_at(*under_attack(5, 20))
    assert said(found, "knows") == [
        "world mine private-data p=0.1 seed 0 knows 0.839 or more, and the original at most 0.469"
    ]


@pytest.mark.parametrize(
    ("original", "mine", "changes"),
    [
        (5, 10, {}),  # their intervals meet
        (5, 20, {"variant": "p=0.3"}),  # another attack
        (5, 20, {"model": "another"}),
    ],
)
def test_what_chance_or_another_attack_explains_is_no_more(looked_at, original, mine, changes):
    assert said(looked_at(*under_attack(original, mine, **changes)), "knows") == []


def test_what_stopped_by_damage_is_no_row_of_the_board(looked_at):
    found = looked_at([cell("gd")], [cell("mine", protocol="2 kl=0.01", **STRANGE)])
    assert said(found, "protocol") == ["cells are of protocol '2 kl=0.01', and the board is of '2'"]
