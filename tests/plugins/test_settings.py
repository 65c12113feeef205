"""``--set`` reads what a plugin's Config allows, and says everything else that is wrong at once."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from harness.core.base import Attack, Method
from harness.core.config import Config, MethodConfig
from harness.errors import ConfigError, PluginError
from harness.plugins.assignments import assignments, flat
from harness.plugins.discovery import Plugins
from harness.plugins.entry import Entry
from harness.plugins.kinds import Kind
from harness.plugins.registry import Registry
from harness.plugins.selection import select, split
from harness.plugins.settings import check, resolve, resolve_variants, settings_of


class Colour(Enum):
    RED = "red"


class Mine(Method):
    """A method with a setting of every sort."""

    name = "mine"

    class Config(MethodConfig):
        lambda_: float = Field(0.1, alias="lambda", gt=0, le=1, description="weight of the term")
        kind: Literal["fast", "slow"] = "fast"
        layers: tuple[int, ...] = Field((1, 2), min_length=1)
        words: tuple[str, ...] = ()
        label: str = ""
        where: str | None = None
        flag: bool = False
        either: Literal["all"] | tuple[int, ...] = "all"
        colour: Colour = Colour.RED
        share: Annotated[float, Field(ge=0)] | None = None

        @model_validator(mode="after")
        def together(self):
            if self.kind == "slow" and self.flag:
                raise ValueError("slow has no flag")
            return self

    def unlearn(self, job): ...


class Probe(Attack):
    """An attack whose variants differ in two settings."""

    name = "probe"
    variants: ClassVar = {"p=0.1": {"p": 0.1}, "p=0.5": {"p": 0.5}, "p=0.5, long": {"p": 0.5, "steps": 9}}

    class Config(Config):
        p: float = Field(0.2, gt=0)
        steps: int = 3
        seed_: int = Field(0, alias="seed")

    def attack(self, job): ...


class Simple(Probe):
    """An attack whose variants differ in one setting."""

    name = "simple"
    variants: ClassVar = {"p=0.1": {"p": 0.1}, "p=0.5": {"p": 0.5}}


class Strict(Method):
    """A method with a setting that has no default."""

    name = "strict"

    class Config(MethodConfig):
        needed: int

    def unlearn(self, job): ...


@pytest.fixture
def registry():
    classes = [("method", Mine), ("method", Strict), ("attack", Simple)]
    return Registry(Plugins([Entry(Kind(kind), cls.name, cls, "d", "1") for kind, cls in classes]))


@pytest.fixture
def read(registry):
    """Read texts of a shell, or a mapping, for a run of ``mine`` and ``simple``."""

    def read(*texts, methods="mine", attacks="simple", **given):
        selection = select(registry, split(methods), split(attacks), ["all"])
        items = [*assignments(texts).items(), *flat(given).items()]
        return {entry.name: values for entry, values in check(items, selection, registry).items()}

    return read


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("epochs=none", "epochs", None),
        ("epochs=null", "epochs", None),
        ("weight_decay=.5", "weight_decay", 0.5),
        ("learning_rates=1e-5,3e-5", "learning_rates", (1e-5, 3e-5)),
        ("learning_rates=[1e-5, 3e-5]", "learning_rates", (1e-5, 3e-5)),
        ("learning_rates=1e-5", "learning_rates", (1e-5,)),
        ("lambda=1e-2", "lambda_", 0.01),
        ("lambda_=1e-2", "lambda_", 0.01),
        ("kind=slow", "kind", "slow"),
        ("layers=3,4", "layers", (3, 4)),
        ("words=a,1,true", "words", ("a", "1", "true")),
        ("label=12", "label", "12"),
        ("label=a=b.c", "label", "a=b.c"),
        ("label=", "label", ""),
        ("where=none", "where", None),
        ("flag=true", "flag", True),
        ("either=all", "either", "all"),
        ("either=3", "either", (3,)),
        ("colour=red", "colour", Colour.RED),
        ("share=1", "share", 1.0),
    ],
)
def test_a_value_is_read_by_what_the_setting_may_be(read, text, field, value):
    config = resolve(Mine, read(f"mine.{text}")["mine"])
    assert getattr(config, field) == value
    assert type(getattr(config, field)) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mine.epochs=0", ["mine.epochs=0", "integer >= 1 or none"]),
        ("mine.epochs=many", ["mine.epochs=many", "integer"]),
        ("mine.lambda=2", ["mine.lambda=2", "number > 0 and <= 1"]),
        ("mine.lambda_=2", ["mine.lambda=2", "number > 0 and <= 1"]),
        ("mine.weight_decay=NaN", ["mine.weight_decay=nan"]),
        ("mine.kind=slwo", ["mine.kind=slwo", "fast or slow"]),
        ("mine.layers=", ["mine.layers=", "list of integer of length >= 1"]),
        ("mine.learning_rates=1e-5,x", ["mine.learning_rates=1e-05,x", "list of number or none"]),
        ("mine.epoch=3", ["'epoch'", "Did you mean 'epochs'?", "learning_rates"]),
        ("mien.epochs=3", ["'mien'", "Did you mean 'mine'?"]),
        ("strict.needed=3", ["method 'strict' is not part of this run", "mine, simple"]),
        ("mine.epochs", ["NAME.setting=value"]),
        ("epochs=3", ["NAME.setting=value"]),
        ("simple.p=0", ["simple.p=0", "number > 0"]),
    ],
)
def test_what_cannot_be_set_is_explained_in_one_sentence(read, text, words):
    with pytest.raises(ConfigError) as raised:
        read(text)
    assert "\n" not in str(raised.value)
    assert all(word in str(raised.value) for word in words), raised.value


def test_all_that_is_wrong_is_said_at_once_and_once(read):
    wrong = ["mine.epochs=0", "mine.epoch=1", "mine.kind=x", "mien.x=1", "simple.p=-1"]
    with pytest.raises(ConfigError) as raised:
        read(*wrong, attacks="simple:p=0.1,simple:p=0.5")
    assert len(str(raised.value).splitlines()) == len(wrong) + 1  # simple.p also fights the chosen variants


def test_all_that_is_no_assignment_is_said_at_once():
    with pytest.raises(ConfigError) as raised:
        assignments(["nonsense", "mine.epochs", "a.b=1", "a.b=2", "a.c=1"])
    assert str(raised.value).splitlines() == [
        "--set nonsense: write NAME.setting=value, for example ga.epochs=3.",
        "--set mine.epochs: write NAME.setting=value, for example ga.epochs=3.",
        "--set a.b=2: a.b is already set to 1.",
    ]


def test_values_of_a_mapping_are_what_they_are(read):
    """Nothing of them is read as the text of a shell would be."""
    values = {"label": "none", "where": "none", "layers": [3, 4], "lambda_": 0.5, "share": None}
    found = read(mine=values)["mine"]
    assert found == {"label": "none", "where": "none", "layers": [3, 4], "lambda": 0.5, "share": None}
    assert read(**{"mine.where": "none"})["mine"] == {"where": "none"}
    assert resolve(Mine, found).where == "none"
    with pytest.raises(ConfigError, match=r"mine\.layers=3,4 is not allowed: .* Allowed: list of integer"):
        read(mine={"layers": "3,4"})


def test_a_single_value_of_a_setting_that_takes_lists_alone_is_a_list_of_one(read):
    config = resolve(Mine, read(mine={"layers": 3, "words": "a", "learning_rates": 1e-4})["mine"])
    assert (config.layers, config.words, config.learning_rates) == ((3,), ("a",), (1e-4,))


def test_a_setting_without_a_plugin_is_refused():
    with pytest.raises(ConfigError, match="--set epochs: name the plugin and its setting"):
        flat({"epochs": 3})


def test_a_setting_given_twice_must_agree(read):
    assert read("mine.lambda=0.5", "mine.lambda_=0.5") == {"mine": {"lambda": 0.5}}
    with pytest.raises(ConfigError, match=r"already set to 0\.5"):
        read("mine.lambda=0.5", "mine.lambda_=0.6")


def test_settings_that_exclude_each_other_say_so(read):
    with pytest.raises(ConfigError, match="do not fit together: slow has no flag"):
        read("mine.kind=slow", "mine.flag=true")


def test_a_setting_without_default_must_be_given(read):
    with pytest.raises(ConfigError, match=r"--set strict\.needed=VALUE"):
        read(methods="strict")
    assert read("strict.needed=3", methods="strict") == {"strict": {"needed": 3}}


def test_variants_keep_their_labels_when_the_user_sets_something_else():
    found = resolve_variants(Probe, {"seed": 7})
    assert [label for label, _ in found] == list(Probe.variants)
    assert [(c.p, c.steps, c.seed_) for _, c in found] == [(0.1, 3, 7), (0.5, 3, 7), (0.5, 9, 7)]


def test_variants_collapse_when_the_user_sets_what_they_differ_in():
    [(label, config)] = resolve_variants(Simple, {"p": 0.3})
    assert (label, config.p) == ("p=0.3", 0.3)
    assert [label for label, _ in resolve_variants(Probe, {"p": 0.3})] == ["p=0.3 steps=3", "p=0.3 steps=9"]


def test_one_variant_can_be_asked_for_but_not_changed():
    [(label, config)] = resolve_variants(Simple, {"steps": 1}, "p=0.5")
    assert (label, config.p, config.steps) == ("p=0.5", 0.5, 1)
    with pytest.raises(ConfigError, match=r"'p=0.5' of simple fixes p"):
        resolve_variants(Simple, {"p": 0.3}, "p=0.5")


def test_an_attack_without_variants_has_one_without_label():
    class Plain(Probe):
        """One setting for all."""

        variants: ClassVar = {"": {}}

    assert [label for label, _ in resolve_variants(Plain, {"p": 0.3})] == [""]


def test_settings_describe_themselves_under_the_name_that_set_takes():
    setting = settings_of(Mine)["lambda"]
    assert (setting.field, setting.default, setting.description) == ("lambda_", "0.1", "weight of the term")
    assert settings_of(Strict)["needed"].default == "required"
    assert settings_of(Mine)["layers"].default == "1,2"
    assert settings_of(Mine)["colour"].allowed == "red"


def test_every_default_as_it_is_shown_can_be_set(read):
    shown = [f"mine.{setting.name}={setting.default}" for setting in settings_of(Mine).values()]
    assert resolve(Mine, read(*shown)["mine"]) == Mine.Config()


def test_a_plugin_that_cannot_be_loaded_is_reported_as_itself():
    broken = Registry(Plugins([Entry(Kind.METHOD, "gone", "no_such_module:X", "d", "1")]))
    with pytest.raises(PluginError, match="no_such_module"):
        check([("gone.x", 1)], select(broken, ["gone"], ["none"], ["all"]), broken)
