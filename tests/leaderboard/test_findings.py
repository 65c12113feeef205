"""What is said of a target in sentences: on made-up rows, one of each kind."""

from __future__ import annotations

import pytest

from harness.leaderboard.findings import explained, findings, resolution
from support.rows import row, standing, unlearned

CONTROLS = [row("none", forget_before=0.95), row("retrain"), row("refusal", forget_before=0.9)]
NOT_RANKED = {"guard": "1 seed, 3 are needed"}


def said(*methods):
    """The statements on these methods beside the controls."""
    return findings([*CONTROLS, *methods])


class TestKnowledge:
    """What came back, and who erased."""

    def test_one_method_that_hides(self):
        assert said(unlearned("gd", "hidden", 0.62, 0.51, 0.73, **NOT_RANKED))[0] == (
            "gd hides: up to 62 % [51, 73] of what it was made to forget came back, most under "
            "private-data p=0.3."
        )

    def test_several_are_told_by_the_one_from_which_most_came_back(self):
        first, *_ = said(unlearned("gd", "hidden", 0.62, 0.51, 0.73), unlearned("npo", "hidden", 0.9, 0.8, 1))
        assert first == (
            "npo and gd hide: up to 90 % [80, 100] of what they were made to forget came back, most from npo "
            "under private-data p=0.3. No method erased."
        )

    def test_a_part(self):
        [first, _] = said(unlearned("gd", "partly hidden", 0.3, 0.2, 0.4))
        assert first.startswith("gd hides a part: up to 30 % [20, 40] of what it was made to forget")

    def test_hidden_and_a_part(self):
        first, _ = said(
            unlearned("gd", "hidden", 0.6, 0.6, 0.6), unlearned("b", "partly hidden", 0.3, 0.2, 0.4)
        )
        assert first.startswith("gd hides: up to 60 % of what it")
        assert "b hides a part: up to 30 % [20, 40] of what it was made to" in first

    def test_erased(self):
        [first, _] = said(unlearned("gd", "erased", 0.04, 0.01, 0.08))
        assert first == "gd erased: no attack brought back more than 4 % [1, 8]."

    def test_several_erased_and_one_hides(self):
        own = [unlearned(name, "erased", share, 0, 0.08) for name, share in (("a", 0.02), ("b", 0.05))]
        first, _ = said(*own, unlearned("c", "hidden", 0.8, 0.7, 0.9))
        assert first.endswith("b and a erased: no attack brought back more than 5 % [0, 8] (from b).")
        assert "No method" not in first

    def test_nothing_came_back_at_all(self):
        assert said(unlearned("gd", "erased", -0.02, -0.05, 0.01))[0] == (
            "gd erased: no attack brought anything back."
        )

    def test_as_long_as_one_is_undecided_nobody_says_that_none_erased(self):
        first, *_ = said(unlearned("a", "hidden", 0.8, 0.7, 0.9), unlearned("b", "undecided", 0.1, 0, 0.2))
        assert first.endswith(" No method is known to have erased.")


class TestFailures:
    """Who neither erased nor hid."""

    @pytest.mark.parametrize(
        ("verdict", "why", "sentence"),
        [
            ("not forgotten", "0.41 above 0.35", "gd (0.41 above 0.35) did not forget in the first place."),
            ("damaged", "60 % of retain", "gd (60 % of retain) damaged the model."),
            ("undecided", "missing: recovery", "gd is undecided (missing: recovery)."),
            (
                *(
                    "undecided",
                    "erased or partly hidden or damaged: 0.1 [0.0, 0.2] of it came back; 0.9 is left",
                ),
                "gd is undecided: erased, partly hidden or damaged; the intervals are too wide to say which.",
            ),
            (
                "below the twin",
                None,
                "gd scores below a model that never knew, which gives away that something was removed.",
            ),
        ],
    )
    def test_each_with_its_reason(self, verdict, why, sentence):
        assert sentence in said(unlearned("gd", verdict, verdict_why=why))

    def test_of_many_the_first_are_named(self):
        text = "\n".join(said(*(unlearned(name, "damaged", verdict_why="0.5 is left") for name in "abcde")))
        assert "a (0.5 is left), b (0.5 is left) and 3 more damaged the model." in text

    def test_those_are_named_together_that_are_undecided_for_the_same_reason(self):
        reasons = {"a": "hidden or damaged: 0.7", "b": "missing: recovery", "c": "hidden or damaged: 0.8"}
        _, failures, _ = said(*(unlearned(m, "undecided", verdict_why=why) for m, why in reasons.items()))
        assert failures == (
            "a and c are undecided: hidden or damaged; the intervals are too wide to say which. "
            "b is undecided (missing: recovery)."
        )

    def test_all_kinds_are_one_statement(self):
        kinds = ("not forgotten", "damaged", "below the twin", "undecided")
        _, failures, order = said(*(unlearned(name, kind) for name, kind in zip("abcd", kinds, strict=True)))
        assert failures.count(".") == 4
        assert order == "No method is ranked."


class TestOrder:
    """Who withstands the attacks better."""

    def test_no_method_is_ranked_for_one_reason(self):
        own = [unlearned(name, "hidden", 0.6, 0.5, 0.7, **NOT_RANKED) for name in "ab"]
        assert said(*own)[-1] == "No method is ranked: 1 seed, 3 are needed."

    def test_no_method_is_ranked_for_several_reasons(self):
        own = [unlearned(name, "hidden", 0.6, 0.5, 0.7, guard=why) for name, why in (("a", "x"), ("b", "y"))]
        assert said(*own)[-1] == "No method is ranked: a (x) and b (y)."

    def test_two_that_cannot_be_told_apart_and_why(self):
        assert said(standing("gd", 1, 0.57), standing("ssiuu", 1, 0.58))[-1] == (
            "gd and ssiuu cannot be told apart here: their worst scores differ by 0.01, and the intervals "
            "are up to 0.20 wide."
        )

    def test_two_that_can(self):
        assert said(standing("gd", 1, 0.4, ("npo",)), standing("npo", 2, 0.7, ("gd",)))[-1] == (
            "gd withstands attacks better than npo: their worst scores are 0.40 and 0.70."
        )

    def test_of_many_pairs_it_is_said_how_many(self):
        own = [standing("a", 1, 0.4, ("c",)), standing("b", 1, 0.5), standing("c", 3, 0.7, ("a",))]
        assert said(*own)[-1] == "Of 3 pairs of ranked methods 1 can be told apart: a is better than c."
        own = [standing(name, 1, 0.4, ("c",)) for name in "ab"] + [standing("c", 3, 0.7, ("a", "b"))]
        told = "Of 3 pairs of ranked methods 2 can be told apart: a and b are better than c."
        assert said(*own)[-1] == told
        own = [standing("a", 1, 0.4), standing("b", 1, 0.45, ("c",)), standing("c", 1, 0.7, ("b",))]
        assert said(*own)[-1] == "Of 3 pairs of ranked methods 1 can be told apart."

    def test_none_of_many(self):
        own = [standing(name, 1, worst) for name, worst in (("a", 0.4), ("b", 0.45), ("c", 0.5))]
        assert said(*own)[-1].startswith("None of the 3 pairs of ranked methods can be told apart: ")
        assert "their worst scores differ by 0.10 at most" in said(*own)[-1]

    def test_one_method_has_nobody_beside_it(self):
        assert len(said(standing("gd", 1, 0.5))) == 1
        assert said(standing("gd", 1, 0.5), unlearned("a", "damaged"))[-1] == "Only gd is ranked."


class TestTargets:
    """Where nothing can be said of methods."""

    def test_one_that_never_learned_is_said_and_nothing_else(self):
        rows = [row("none", forget_before=0.34, benchmark="mine"), unlearned("gd", "erased", 0.0, 0.0, 0.0)]
        [sentence] = findings(rows)
        assert sentence.startswith(
            "The model never learned what it is to forget: before unlearning it scores 0.34, and guessing "
            "gives 0.25. So no number of mine means anything here."
        )
        assert "--model" in sentence
        assert "`harness show mine`" in sentence

    def test_one_that_counts_as_forgotten_from_the_start(self):
        [sentence] = findings([row("none", forget_before=0.5, chance=0.1, threshold=0.5)])
        assert "and 0.50 counts as forgotten" in sentence

    @pytest.mark.parametrize("changes", [{"chance": None, "threshold": None}, {"forget_before": 0.4}])
    def test_one_that_knows_or_of_which_too_little_is_known(self, changes):
        rows = [row("none", **{"forget_before": 0.36} | changes), unlearned("gd", "erased", 0.0, 0.0, 0.0)]
        assert findings(rows)[0].startswith("gd erased")

    def test_controls_alone(self):
        assert findings(CONTROLS) == [
            "There are only controls here: run a method to learn something about it."
        ]

    def test_without_controls_methods_are_told_all_the_same(self):
        assert findings([unlearned("gd", "undecided", verdict_why="no controls", **NOT_RANKED)]) == [
            "gd is undecided (no controls).",
            "No method is ranked: 1 seed, 3 are needed.",
        ]


def test_every_verdict_is_explained_once():
    own = unlearned("gd", "damaged", verdict_why="60 % of retain")
    rows = [*CONTROLS, own, own | {"attack": "lora"}, unlearned("npo", "erased")]
    assert explained(rows) == ["gd: damaged; 60 % of retain.", "npo: erased."]


class TestResolution:
    """What the table can tell apart, and why no more."""

    def rows(self, *shares):
        rows = [
            standing("gd", 1, 0.5, ("npo",), seeds=5, targets=4),
            standing("npo", 2, 0.7, seeds=5, targets=4),
        ]
        scores = [
            row("gd", attack="lora", score=0.5, score_low=0.4, score_high=0.4 + width, score_from_seeds=share)
            | {"seeds": 5, "targets": 4}
            for width, share in zip((0.1, 0.2, 0.6), shares, strict=False)
        ]
        return [*rows, *scores, row("none", attack="lora", score=1.0, score_low=0.0, score_high=1.0)]

    def test_it_counts_pairs_and_says_what_intervals_are_made_of(self):
        said = resolution(self.rows(0.25, 0.5, 0.75))
        assert said == (
            "1 of 1 pairs of ranked methods are told apart. The interval of a score is 0.20 wide (median): "
            "50% of its variance comes from seeds and targets (5 and 4), the rest from facts."
        )

    def test_without_scores_under_attacks_there_is_nothing_to_say(self):
        assert resolution(self.rows()) is None
