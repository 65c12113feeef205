"""A method with modifiers over it: what it is made of, what is refused, and what a stranger's sees."""

from __future__ import annotations

import pytest
import torch

from harness.core.base import Method
from harness.core.composition import compose
from harness.core.config import Config, Field, MethodConfig, ModifierConfig, validator
from harness.core.fingerprint import source_fingerprint
from harness.core.modifier import Modifier
from harness.errors import HarnessError
from harness.model import losses
from harness.plugins.assignments import assignments
from harness.plugins.registry import Registry
from harness.plugins.selection import select
from harness.plugins.settings import check, overrides_of, resolve, settings_of
from harness.runner.plan import spec
from harness.testing import check_modifier, examine
from support.composed import Opposed, gradients_of, over, step_of


@pytest.fixture(scope="module")
def registry():
    return Registry()


class Twice(Modifier):
    """Doubles the forget gradient."""

    name = "twice"
    identity = {"times": 1.0}

    class Config(ModifierConfig):
        times: float = Field(2.0, ge=0, description="weight")
        less: float = Field(9.0, description="what times stays below")

        @validator
        def stays_below(self):
            if self.times >= self.less:
                raise ValueError("times must stay below less")
            return self

    def step_gradients(self, step, by_name=False):
        if self.config.times == 1:
            return self.base.step_gradients(step, by_name)
        forget, retain = self.forget_and_retain(step)
        return {"forget": {p: self.config.times * g for p, g in forget.items()}, "retain": retain}


class Plus(Twice):
    """Adds one to the forget gradient."""

    name = "plus"
    identity = {"times": 0.0}

    def step_gradients(self, step, by_name=False):
        forget, retain = self.forget_and_retain(step)
        return {"forget": {p: g + self.config.times for p, g in forget.items()}, "retain": retain}


class Nameless(Method):
    """Gives its terms no names."""

    name = "nameless"
    Config = MethodConfig

    def loss(self, model, batch):
        return losses.cross_entropy(model, batch.retain) - losses.cross_entropy(model, batch.forget)


def test_modifiers_are_applied_from_left_to_right(model, batch):
    """2 g + 2 and 2 (g + 2) are two things."""
    plain = gradients_of(over(Opposed), model, batch, by_name=True)["forget"]
    for order, expected in (((Twice, Plus), lambda g: 2 * g + 2), ((Plus, Twice), lambda g: 2 * (g + 2))):
        found = gradients_of(over(Opposed, *order), model, batch, by_name=True)["forget"]
        assert all(torch.equal(a, expected(b)) for a, b in zip(found, plain, strict=True))


def test_terms_without_names_are_refused_by_what_tells_them_apart(model, batch):
    with pytest.raises(HarnessError, match="The loss of 'nameless' does not say which of its terms forgets"):
        gradients_of(over(Nameless, Twice), model, batch)
    assert over(Nameless, Twice, twice_times=1.0).step_gradients(
        step_of(Nameless(), model, batch)
    ).keys() == {""}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rmu+sam", "the definition of 'rmu' chooses which weights train or stops the forward pass early"),
        ("ssiuu+sam", "the definition of 'ssiuu'"),
        ("none+sam", "'none' is no gradient method"),
        ("retrain+undo", "'retrain' is no gradient method"),
        ("ga+project", "'ga' has no retain term"),
        ("simu+signsgd", "'simu' steps by sophia"),
        ("npo+sam+sam", "'sam' stands there twice"),
        ("npo+gd", "There is no modifier 'gd'"),
        ("sam+npo", "There is no method 'sam'"),
        ("npo+", "There is no modifier ''"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(name, reason, registry):
    with pytest.raises(HarnessError, match=reason):
        registry.named(name)[0].load()


def test_settings_stand_under_the_name_of_the_part_that_they_are_of(registry):
    selection = select(registry, ["npo", "npo+sam", "gd+sam"], ["none"], ["tofu-mini"])
    given = assignments(["sam.rho=0.02", "npo.beta=0.3", "gd.alpha=2"]).items()
    overrides = check(given, selection, registry)
    npo, composed, other = (
        resolve(entry.load(), overrides_of(entry, overrides)) for entry in selection.methods
    )
    assert (npo.beta, composed.beta, composed.sam_rho, other.sam_rho, other.alpha) == (
        0.3,
        0.3,
        0.02,
        0.02,
        2,
    )
    assert '"beta":0.3' in composed.identity()
    assert '"sam.rho":0.02' in composed.identity()
    assert "sam" not in npo.identity()
    assert "sam.rho" in settings_of(selection.methods[1].load())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sam.rho=-1", "sam.rho=-1 is not allowed: Input should be greater than or equal to 0"),
        ("npo.beta=0", "npo.beta=0 is not allowed"),
        ("sam.roh=1", "There is no setting of npo.sam named 'sam.roh'. Did you mean 'sam.rho'?"),
        ("gd.alpha=1", "the method 'gd' is not part of this run, which has tofu-mini, npo, sam"),
    ],
)
def test_a_wrong_setting_is_named(text, says, registry):
    selection = select(registry, ["npo+sam"], ["none"], ["tofu-mini"])
    with pytest.raises(HarnessError, match=says):
        check(assignments([text]).items(), selection, registry)


def test_a_modifiers_own_validator_holds():
    with pytest.raises(ValueError, match="times must stay below less"):
        over(Opposed, Twice, twice_times=10.0)


def test_the_source_of_a_composition_is_that_of_all_its_parts():
    alone = source_fingerprint(compose(Opposed, (Twice,)))
    assert alone == source_fingerprint(compose(Opposed, (Twice,)))
    assert len({alone, source_fingerprint(Opposed), source_fingerprint(compose(Nameless, (Twice,)))}) == 3


def test_what_is_in_the_key_of_a_method_alone_stays(registry):
    entry = registry.method("npo")
    made = spec(entry, resolve(entry.load(), {}))
    assert made.identity() == {
        "name": "npo",
        "owner": entry.owner,
        "source": source_fingerprint(entry.load()),
        "config": resolve(entry.load(), {}).identity(),
    }
    composed = registry.method("npo+sam")
    assert composed.owner == entry.owner  # one distribution is named once
    both = spec(composed, resolve(composed.load(), {}))
    assert both.make(registry).name == "npo+sam"
    assert both.identity()["source"] != made.source


class Sly(Modifier):
    """Always moves a little."""

    name = "sly"
    identity = {"strength": 0.0}

    class Config(ModifierConfig):
        strength: float = Field(0.0, description="of what it says it does")

    def optimizer(self, parameters, lr):
        return self.base.optimizer(parameters, lr * 1.0001)


class Silent(Modifier):
    """Says nothing of when it changes nothing."""

    name = "silent"


def test_a_modifier_of_ones_own_keeps_the_rules():
    check_modifier(Twice, less=5.0)


@pytest.mark.parametrize(
    ("modifier", "says"),
    [
        (Sly, "weights differ from those of plain"),
        (Silent, "names no settings with which it changes nothing"),
    ],
)
def test_one_that_never_changes_nothing_breaks_a_rule(modifier, says):
    broken = [result for result in examine(modifier) if result.status == "failed"]
    assert [result.rule for result in broken] == ["changes nothing where it says so"]
    assert says in broken[0].detail


def test_a_method_without_the_settings_of_training_is_no_gradient_method():
    class Bare(Opposed):
        """Has no rates."""

        name = "bare"
        Config = Config

    with pytest.raises(HarnessError, match="'bare' is no gradient method"):
        compose(Bare, (Twice,))
