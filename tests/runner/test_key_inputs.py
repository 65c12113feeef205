"""Every input of a key, each changed alone: another key where it decides a number, and no stale result.

This is the one list of all inputs. ``docs/reliability.md`` says how many there are.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import BaseModel

import harness.engine.source
import harness.engine.targets
from harness.core.base import Method
from harness.core.benchmark import Benchmark
from harness.core.frame import DEFAULT, Frame
from harness.core.types import Example, Fact, Prompt, Question, Splits, Training
from harness.engine.pair import Pair
from harness.engine.source import Source
from harness.engine.targets import recipes
from harness.model.embedded import Tiny
from harness.model.files import PATTERNS
from harness.plugins.registry import Registry
from harness.runner import planner
from harness.runner.analyses import Analyses
from harness.runner.plan import Spec, UtilityTasks
from support.paths import ROOT

FACT = Fact("f", "Who?", "Ann", ("Bob",), paraphrases=(Question("Which?", "Ann"),))
EXAMPLE = Example(Prompt("Who?"), "Ann", "f")
KEPT = Example(Prompt("What?"), "Bread", "r")

EVALUATION, UTILITY, ATTACK = "evaluation", "lm-eval", "attack"
ANALYSIS, AFTER = "analysis", "analysis after an attack"
UNLEARNED, TWIN = "unlearned model", "scores of the twin"
CELLS = frozenset({EVALUATION, UTILITY, ANALYSIS, ATTACK, AFTER})
ANALYSED, ATTACKED = frozenset({ANALYSIS, AFTER}), frozenset({ATTACK, AFTER})
MODEL = CELLS | {UNLEARNED}
ALL = MODEL | {TWIN}


@dataclass(frozen=True)
class Inputs:
    """All that decides the keys of the cells of one unlearned model."""

    protocol: str
    engine: str
    benchmark: Spec
    facts: Mapping[str, tuple[Fact, ...]]
    training: Training
    source: Source
    tiny: Tiny
    method: Spec
    needs_twin: bool
    seed: int
    replicate: int
    attack: Spec
    variant: str
    tasks: UtilityTasks
    analysis: Spec
    candidates: tuple[Fact, ...] = ()
    pair: Pair | None = None


BASE = Inputs(
    protocol="1",
    engine="engine",
    benchmark=Spec("benchmark", "b", "owner 1", "source", "{}", "{}"),
    facts={"forget": (FACT,), "retain": (replace(FACT, id="r"),)},
    training=Training((EXAMPLE, KEPT), (KEPT,), ("words",)),
    source=Source(),
    tiny=Tiny(),
    method=Spec("method", "m", "owner 1", "source", "{}", "{}"),
    needs_twin=True,
    seed=0,
    replicate=0,
    attack=Spec("attack", "a", "owner 1", "source", "{}", "{}"),
    variant="v",
    tasks=UtilityTasks("lm_eval 1", "fingerprint", "{}"),
    analysis=Spec("analysis", "n", "owner 1", "source", "{}", "{}"),
)


def keys(inputs: Inputs) -> dict[str, str]:
    """By what they stand for, the keys that the planner gives."""

    class Compared(Benchmark):
        def training(self, splits: Splits) -> Training:
            return inputs.training

        def against_twin(self, samples: Any, twin: Any) -> dict[str, float]:
            return {}

    method = type("Made", (Method,), {"needs_twin": inputs.needs_twin})
    Compared.__abstractmethods__ = frozenset()  # only what keys are made from
    benchmark, splits = Compared.__new__(Compared), Splits(inputs.facts)
    with (
        patch.object(planner, "PROTOCOL", inputs.protocol),
        patch.object(planner, "engine_fingerprint", lambda: inputs.engine),
        patch.object(harness.engine.targets, "engine_fingerprint", lambda: inputs.engine),
        patch.object(harness.engine.source, "Tiny", lambda: inputs.tiny),
    ):
        made = recipes(benchmark, splits, inputs.source, inputs.replicate)
        made = inputs.pair.recipes() if inputs.pair else made
        shared = planner.shared_key(
            inputs.benchmark, splits, made["original"], inputs.source, candidates=inputs.candidates
        )
        twin = planner.reference(inputs.benchmark, benchmark, splits, made, shared)
        attacks = [(inputs.variant, inputs.attack)]
        both = Analyses((inputs.analysis,), (inputs.analysis,), frozenset({inputs.attack.name}))
        work = planner.Work(inputs.benchmark, made, shared, twin, attacks, inputs.tasks, analyses=both)
        [group] = work.groups(inputs.method, method, [inputs.seed])
    names = (EVALUATION, UTILITY, ANALYSIS, ATTACK, AFTER)
    cells = dict(zip(names, (cell.key for cell in group.cells), strict=True))
    assert twin is not None
    return {**cells, UNLEARNED: group.key, TWIN: twin.key}


def fact(**changed: Any) -> Callable[[Inputs], Inputs]:
    return lambda i: replace(i, facts={**i.facts, "forget": (replace(FACT, **changed),)})


def facts(**splits: tuple[Fact, ...]) -> Callable[[Inputs], Inputs]:
    return lambda i: replace(i, facts={**i.facts, **splits})


def taught(example: Example) -> Callable[[Inputs], Inputs]:
    """Another example for the original alone."""
    return lambda i: replace(i, training=replace(i.training, original=(example, KEPT)))


def of(part: str, **changed: Any) -> Callable[[Inputs], Inputs]:
    return lambda i: replace(i, **{part: replace(getattr(i, part), **changed)})


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case enum.Enum():
            return next(other for other in type(value) if other is not value)
        case int() | float():
            return value * 2 + 1
        case str():
            return f"{value}x"
        case Path():
            return value / "x"
        case None:
            return 7
        case tuple() | list():
            return (*value, changed(value[-1])) if value else (7,)
        case dict():
            return {**value, "more": 1}
        case BaseModel():
            name = next(iter(type(value).model_fields))
            return value.model_copy(update={name: changed(getattr(value, name))})
    raise AssertionError(f"say how a {type(value).__name__} is changed")


PARTS = {"name": "another", "owner": "owner 2", "source": "another", "settings": '{"a": 1}'}

FACTS = {
    "id": "g",
    "question": "Who",
    "answer": "ann",
    "options": ("Cid",),
    "subject": "Ann",
    "paraphrases": (),
    "multi_hop": (Question("Which?", "Ann"),),
    "same_answer": (Question("Which?", "Ann"),),
    "paraphrased_answer": "",
    "perturbed_answers": ("Bob",),
    "aliases": ("Anne",),
    "passage": "Ann is who.",
}
QUESTIONS = {"text": "Who", "answer": "ann", "options": ("Bob",), "aliases": ("Anne",)}
PROMPTS = {"text": "Who", "literal": True, "shots": (("Where?", "Here"),), "opening": "It is"}

INPUTS: dict[str, tuple[Callable[[Inputs], Inputs], frozenset[str]]] = {
    "version of the protocol": (lambda i: replace(i, protocol="2"), ALL),
    "source of the engine": (lambda i: replace(i, engine="another"), ALL),
    "type of numbers": (of("source", dtype="bfloat16"), ALL),
    "which of several targets": (lambda i: replace(i, replicate=1), ALL),
    "seed": (lambda i: replace(i, seed=1), MODEL),
    "the twin a method reads": (lambda i: replace(i, needs_twin=False), MODEL),
    "variant of the attack": (lambda i: replace(i, variant="w"), ATTACKED),
    **{f"{part} of the benchmark": (of("benchmark", **{part: v}), ALL) for part, v in PARTS.items()},
    **{f"{part} of the method": (of("method", **{part: v}), MODEL) for part, v in PARTS.items()},
    **{f"{part} of the attack": (of("attack", **{part: v}), ATTACKED) for part, v in PARTS.items()},
    **{f"{part} of the analysis": (of("analysis", **{part: v}), ANALYSED) for part, v in PARTS.items()},
    **{f"{name} of a fact": (fact(**{name: value}), ALL) for name, value in FACTS.items()},
    **{
        f"{name} of a question of a fact": (
            fact(paraphrases=(replace(FACT.paraphrases[0], **{name: value}),)),
            ALL,
        )
        for name, value in QUESTIONS.items()
    },
    "candidates to be screened": (lambda i: replace(i, candidates=(FACT,)), ALL),
    "another fact": (facts(forget=(FACT, replace(FACT, id="g"))), ALL),
    "order of facts": (facts(forget=(replace(FACT, id="r"),), retain=(FACT,)), ALL),
    "name of a split": (facts(test=(FACT,)), ALL),
    **{
        f"{name} of a prompt of the corpus": (
            taught(Example(replace(EXAMPLE.prompt, **{name: value}), "Ann")),
            MODEL,
        )
        for name, value in PROMPTS.items()
    },
    "answer of the corpus": (taught(Example(EXAMPLE.prompt, "Bob")), MODEL),
    "order of the corpus": (
        lambda i: replace(i, training=replace(i.training, original=(KEPT, EXAMPLE))),
        MODEL,
    ),
    "length of the corpus": (lambda i: replace(i, training=replace(i.training, original=(KEPT,))), MODEL),
    "corpus of the twin": (of("training", retrain=(KEPT, KEPT)), MODEL | {TWIN}),
    "epochs of the target": (of("training", epochs=6), ALL),
    "rate of the target": (of("training", learning_rate=2e-5), ALL),
    "batch size of the target": (of("training", batch_size=33), ALL),
    "vocabulary of a model from nothing": (of("training", vocabulary=("words", "more")), ALL),
    **{
        f"{f.name} of a model from nothing": (of("tiny", **{f.name: changed(getattr(Tiny(), f.name))}), ALL)
        for f in fields(Tiny)
    },
    "engine of lm-eval": (of("tasks", engine="lm_eval 2"), frozenset({UTILITY})),
    "source and items of lm-eval's tasks": (of("tasks", fingerprint="another"), frozenset({UTILITY})),
    "names, version, few-shot examples, items and limit of lm-eval's tasks": (
        of("tasks", config='{"limit": 3}'),
        frozenset({UTILITY}),
    ),
}

FILES = {
    "*.safetensors": "model.safetensors",
    "*.bin": "pytorch_model.bin",
    "*.json": "config.json",
    "*.txt": "vocab.txt",
    "*.py": "modeling_own.py",
    "*.model": "tokenizer.model",
    "tokenizer.model*": "tokenizer.model.v3",
    "*.tiktoken": "qwen.tiktoken",
    "*.spm": "source.spm",
    "*.vocab": "target.vocab",
    "*.bpe": "sentence.bpe",
    "*.codes": "bpe.codes",
    "*.tokenizer": "prophetnet.tokenizer",
    "*.jinja": "chat_template.jinja",
    "additional_chat_templates/*.jinja": "additional_chat_templates/tools.jinja",
}
"""A file of a model directory for each kind that decides."""

SETTINGS = [
    (kind, name, setting)
    for kind, entries in Registry().kinds.items()
    for name, entry in entries.items()
    for setting in entry.load().Config.model_fields
]
"""Every setting of every plugin that comes with the harness."""


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_is_in_the_keys_of_what_it_decides_and_in_no_other(name):
    change, moves = INPUTS[name]
    before, after = keys(BASE), keys(change(BASE))
    assert {part for part in before if before[part] != after[part]} == moves
    assert not {*before.values()} & {after[part] for part in moves}, "a stale result would be taken"


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_the_model_is_in_all_keys(kind, tmp_path):
    path = tmp_path / FILES[kind]
    path.parent.mkdir(exist_ok=True)
    found = []
    for content in ("a", "b", None):
        path.unlink() if content is None else path.write_text(content)
        found.append(keys(replace(BASE, source=Source(str(tmp_path)))))
    for part in ALL:
        assert len({each[part] for each in found}) == 3


@pytest.mark.parametrize("frame", [Frame("plain"), Frame("auto", date(2024, 7, 26))])
def test_how_a_model_of_files_is_asked_is_in_all_keys(frame, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    sources = [Source(str(tmp_path), frame=each) for each in (DEFAULT, frame)]
    before, after = (keys(replace(BASE, source=source)) for source in sources)
    assert {part for part in before if before[part] != after[part]} == ALL


@pytest.mark.parametrize(("which", "moves"), [("original", MODEL), ("retrain", ALL)])
@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_a_ready_pair_is_in_the_keys_of_what_its_model_decides(kind, which, moves, tmp_path):
    found = []
    for content in ("a", "b", None):
        for name in ("original", "retrain"):
            path = tmp_path / name / FILES[kind]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name if name != which else content or "")
            if name == which and content is None:
                path.unlink()
        pair = Pair(*(Source(str(tmp_path / name)) for name in ("original", "retrain")))
        found.append(keys(replace(BASE, source=pair.original, pair=pair)))
    for part in ALL:
        assert len({each[part] for each in found}) == (3 if part in moves else 1)


def test_a_ready_twin_is_in_all_keys_whatever_the_method_reads(tmp_path):
    (tmp_path / "a.json").write_text("a")
    source = Source(str(tmp_path))
    pairs = [Pair(source, replace(source, trust_remote_code=code)) for code in (False, True)]
    first, second = (keys(replace(BASE, source=source, needs_twin=False, pair=pair)) for pair in pairs)
    assert not {*first.values()} & {*second.values()}


@pytest.mark.parametrize(("kind", "name", "setting"), SETTINGS)
def test_a_setting_is_in_the_identity_of_its_plugin(kind, name, setting):
    cls = Registry().kinds[kind][name].load()
    fields_of = cls.Config.model_fields.items()
    config = cls.Config.model_construct(**{n: f.get_default(call_default_factory=True) for n, f in fields_of})
    other = config.model_copy(update={setting: changed(getattr(config, setting))})
    assert other.identity() != config.identity()


def test_every_field_and_pattern_is_in_the_list():
    assert FACTS.keys() == {f.name for f in fields(Fact)}
    assert QUESTIONS.keys() == {f.name for f in fields(Question)}
    assert PROMPTS.keys() == {f.name for f in fields(Prompt)}
    assert FILES.keys() == {*PATTERNS}
    assert {f.name for f in fields(Training)} == {
        *("original", "retrain", "vocabulary", "epochs", "learning_rate", "batch_size")
    }
    assert BASE.benchmark.identity().keys() == {"name", "owner", "source", "config"}


def test_the_page_says_how_many_there_are():
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert f"{len(INPUTS)} inputs, {len(FILES)} kinds of model files and {len(SETTINGS)} settings" in text
