"""The plugins of the how-tos keep the rules of `harness check`, and do what their pages say."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
import torch

from harness.core.batch import Batch
from harness.model import models
from harness.testing import check_benchmark, check_method
from support.composed import Opposed, gradients_of, over
from support.equations import flat
from support.paths import ROOT

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture
def example(monkeypatch):
    """Import a file of docs/examples."""

    def example(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # its source is part of keys
        spec.loader.exec_module(module)
        return module

    return example


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("anchored", "Anchored"),
        ("smoothed", "SmoothedGD"),
        ("smoothed", "SmoothedSimNPO"),
        ("projected", "Projected"),
        ("negation", "Negation"),
        ("phrases", "Phrases"),
    ],
)
def test_a_method_of_a_page_keeps_every_rule(file, name, example):
    results = check_method(getattr(example(file), name))
    assert {result.status for result in results} == {"ok"}


@pytest.mark.parametrize("text", [False, True])
def test_the_benchmark_of_the_how_to_keeps_every_rule(text, example):
    results = check_benchmark(example("telegrams").Telegrams, text=text)
    assert {result.status for result in results} == {"ok"}


def test_the_anchor_is_a_term_more_that_grows_with_the_distance(example, job, model, batch):
    cls = example("anchored").Anchored
    method = cls(cls.Config(anchor=2.0))
    method.prepare(job)
    assert [name for name, _ in method.loss(model, batch)] == ["forget", "retain", "anchor"]
    assert dict(method.loss(model, batch))["anchor"].item() == 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5
    count = sum(parameter.numel() for parameter in model.parameters())
    assert dict(method.loss(model, batch))["anchor"].item() == pytest.approx(2.0 * 0.25 * count)


def test_the_shares_of_the_anchor_in_micro_batches_add_up(example, job, model, batch):
    cls = example("anchored").Anchored
    method = cls(cls.Config(anchor=2.0))
    method.prepare(job)
    with torch.no_grad():
        next(model.parameters()).add_(0.5)
    whole = dict(method.loss(model, batch))["anchor"]
    parts = zip(batch.forget.parts(4), batch.retain.parts(4), strict=True)
    terms = [dict(method.loss(model, Batch(f, r)))["anchor"].item() for f, r in parts]
    assert len(terms) == 4
    assert sum(terms) == pytest.approx(whole.item())


def test_smoothing_differentiates_elsewhere_and_puts_the_weights_back(example, job, model, batch):
    module = example("smoothed")
    plain = module.GradientDifference(module.GradientDifference.Config())
    method = module.SmoothedGD(module.SmoothedGD.Config(sigma=0.1))
    method.prepare(job)
    method.start(model)
    before = models.snapshot(model)
    noisy, again = ([term.item() for _, term in method.loss(model, batch)] for _ in range(2))
    assert noisy == again  # the micro-batches of a step share their noise
    method.after_backward(model)
    assert [term.item() for _, term in method.loss(model, batch)] != noisy
    assert noisy != [term.item() for _, term in plain.loss(model, batch)]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("forget", "expected"), [([1.0, 2.0], [2.0, 2.0]), ([-1.0, 2.0], [1.0, 2.0])])
def test_the_projection_takes_out_what_works_against_the_retain_set(example, forget, expected):
    parameter = torch.nn.Parameter(torch.zeros(2))
    gradients = {"forget": {parameter: torch.tensor(forget)}, "retain": {parameter: torch.tensor([1.0, 0.0])}}
    example("projected").Projected().combine(torch.nn.Module(), gradients)
    assert parameter.grad.tolist() == expected


def test_the_modifier_caps_the_forget_gradient_at_the_retain_gradients_length(example, model, batch):
    plain = gradients_of(over(Opposed), model, batch, by_name=True)
    capped = over(Opposed, example("capped").Capped, capped_most=0.5)
    found = gradients_of(capped, model, batch, by_name=True)
    before, forget, retain = (
        flat(each).norm() for each in (plain["forget"], found["forget"], found["retain"])
    )
    assert before > 0.5 * retain
    assert forget == pytest.approx(0.5 * retain)
    assert torch.allclose(flat(found["forget"]), flat(plain["forget"]) * (forget / before))


def test_negation_goes_away_from_what_it_learned(example, job, monkeypatch):
    cls = example("negation").Negation
    original = models.snapshot(job.model)
    learned = {name: tensor + 1 for name, tensor in original.items()}
    monkeypatch.setattr(job, "train", lambda *arguments: job.restore(learned))
    monkeypatch.setattr(job, "forget_score", lambda: 0.0 if job.notes["scale"] >= 2 else 1.0)
    cls(cls.Config(scales=(0.5, 2.0, 3.0))).unlearn(job)
    assert job.notes["scale"] == 2.0
    for name, tensor in job.model.state_dict().items():
        assert torch.allclose(tensor, original[name] - 2)


def test_phrases_come_from_the_file_and_its_content_is_the_identity(example, job, tmp_path):
    cls = example("phrases").Phrases
    file = tmp_path / "phrases.txt"
    file.write_text("What does Ada\nWhere does\n")
    config = cls.Config(phrases=file, most=1)
    method = cls(config)
    method.prepare(job)
    assert {answer for _, answer in method.data} == {job.encode(job.forget[:1], "What does Ada")[0][1]}
    identity = config.identity()
    assert str(tmp_path) not in identity
    file.write_text("Where does\n")
    assert cls.Config(phrases=file, most=1).identity() != identity
    with pytest.raises(ValueError, match="set phrases, too"):
        cls.Config(most=1)


@pytest.mark.parametrize(("text", "metric"), [(False, "rouge_l"), (True, "verbatim")])
def test_telegrams_are_trained_on_as_text_or_as_answers(text, metric, example):
    cls = example("telegrams").Telegrams
    benchmark = cls(cls.Config(forget=12, text=text))
    splits = benchmark.load()
    assert {name: len(facts) for name, facts in splits.items()} == {"forget": 12, "retain": 36}
    passages = [f"{fact.subject} {fact.answer}" if text else "" for fact in splits["forget"]]
    assert [fact.passage for fact in splits["forget"]] == passages
    assert benchmark.forget_metric == metric
    assert 0 < benchmark.chance(splits) < benchmark.threshold(splits)
    twin = {example.fact_id for example in benchmark.training(splits).retrain}
    assert twin == {fact.id for fact in splits["retain"]}


@pytest.mark.parametrize(
    ("text", "share"), [("a b c d", 1.0), ("a b x d", 0.5), ("", 0.0), ("a b c d e", 1.0)]
)
def test_verbatim_counts_to_the_first_mistake(example, text, share):
    assert example("telegrams").verbatim(text, "a b c d") == share
