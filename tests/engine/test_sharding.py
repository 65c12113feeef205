"""One model over 1, 2 and 4 processes: the same losses, gradients, weights and scores.

All that is tried in a number of processes is tried in one group of them, in float64, where rounding is far
below what a mistake would make. The model has tied embeddings.
"""

from __future__ import annotations

import os
import sys
from functools import partial

import pytest
import torch
from harness.attacks.instruction import Instruction
from harness.attacks.overshoot import Overshoot
from harness.attacks.private_data import PrivateData
from harness.attacks.prompt import Rephrase
from harness.attacks.relearn_paraphrases import RelearnParaphrases
from harness.attacks.relearn_retain import RelearnRetain
from harness.methods.ga import GradientAscent
from harness.methods.gd import GradientDifference
from harness.methods.npo import NPO
from harness.methods.refusal import Refusal
from harness.methods.rmu import RMU
from harness.methods.simnpo import SimNPO
from harness.methods.simu import Simu
from harness.methods.ssiuu import Ssiuu
from torch import nn

from harness.core.base import shards
from harness.core.types import Cost, Splits
from harness.engine.attacking import run_attack
from harness.engine.damage import Damage
from harness.engine.integrity import not_finite
from harness.engine.protocol import Protocol, with_protocol
from harness.engine.under_test import ModelUnderTest
from harness.engine.unlearning import unlearn
from harness.model import models, neurons, sharding
from harness.model.losses import cross_entropy
from harness.model.steps import forget_steps
from harness.model.tokens import PromptTokenizer
from harness.model.train import Step
from harness.plugins.uninstalled import registry
from harness.testing import sandbox
from harness.testing.facts import Toy, splits_with
from support.ranks import in_ranks

pytestmark = [
    pytest.mark.xdist_group("sharding"),
    pytest.mark.skipif(sys.platform != "linux", reason="groups of forked processes are tried on Linux"),
]

METHODS = {
    "gd": (GradientDifference, {}),
    "ga": (GradientAscent, {}),
    "npo": (NPO, {"retain": "kl"}),
    "simnpo": (SimNPO, {}),
    "refusal": (Refusal, {}),
    "ssiuu": (Ssiuu, {"ratio": 0.5}),
    "rmu": (RMU, {}),
    "simu": (Simu, {}),
    "simu, squared": (Simu, {"hessian": "squared"}),
}
ATTACKS = {
    "private-data": (PrivateData, {"p": 0.3}),
    "instruction": (Instruction, {}),
    "overshoot": (Overshoot, {"factors": (1.0, 2.0)}),
    "relearn-paraphrases": (RelearnParaphrases, {}),
    "relearn-retain": (RelearnRetain, {"lora_r": None}),
    "prompt": (Rephrase, {}),
}
QUICK = {"steps": 2, "checkpoints": (2,), "learning_rates": (1e-2,), "batch_size": 4, "epochs": 1}
PROTOCOL = Protocol((1e-2,), epochs=1, batch_size=4, check_every=None, attack_lr_scale=1.0)
TOKENIZER = sandbox.tokenizer_of(splits_with("neutral"))
SPLITS = Splits({name: facts[:8] for name, facts in splits_with("neutral").items()})


class Never(Toy):
    """The toy facts, of which no model is far enough from knowing them."""

    neutral = ("neutral",)

    def __init__(self):
        super().__init__(stop=-1.0)


def made(size, dtype=torch.float64):
    """The same model in any number of processes, each of which makes it."""
    model = sandbox.tiny_model(TOKENIZER, tie_word_embeddings=True).to(dtype)
    return model if size == 1 else sharding.shard(model, models.blocks(model))


def subject(size, micro=None, dtype=torch.float64):
    return ModelUnderTest(
        made(size, dtype), PromptTokenizer(TOKENIZER), Never(), SPLITS, PROTOCOL, micro_batch=micro
    )


def full(weights):
    return {name: sharding.whole(tensor.detach()).clone() for name, tensor in weights.items()}


def quick(cls, settings):
    return sandbox.small(cls, settings, **{name: v for name, v in QUICK.items() if name not in settings})


def unlearned(size, name, micro=None, dtype=torch.float64):
    """Notes, curve, weights and scores of a method after a pass over the forget set."""
    cls, settings = METHODS[name]
    under_test = subject(size, micro, dtype)
    config = with_protocol(cls, quick(cls, settings), PROTOCOL)
    job = unlearn(under_test, cls(config), 0)
    scores = [sample.value for sample in under_test.score(SPLITS.only({"forget"}))]
    curve = [metric.value for metric in job.metrics]
    return {"notes": job.notes, "scores": scores + curve, "weights": full(under_test.model.state_dict())}


def attacked(size, name):
    """Curve and samples of an attack on a model that was not unlearned."""
    cls, settings = ATTACKS[name]
    under_test = subject(size)
    outcome = run_attack(under_test, cls(quick(cls, settings)), 0, models.snapshot(under_test.model))
    return [m.value for m in outcome.metrics] + [s.value for s in outcome.samples]


def step_gradients(size, batch_size, micro):
    """Loss and gradients of a step of GD, in micro-batches."""
    model, tokens = made(size), PromptTokenizer(TOKENIZER)
    encode = partial(ModelUnderTest.encode, subject(1))
    data = encode(SPLITS["forget"]), encode(SPLITS["retain"])
    [batches] = forget_steps(tokens, *data, batch_size, 1, seed=0, micro=micro)

    def loss(model, batch):
        yield -cross_entropy(model, batch.forget)
        yield cross_entropy(model, batch.retain)

    from accelerate import Accelerator

    cost = Cost()
    step = Step(model, batches, loss, Accelerator(), torch.device("cpu"), 1, cost)
    gradients = step.gradients()[""]
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: gradient for parameter, gradient in gradients.items()}, cost.tokens


def all_gradients(size):
    """Of a step in one piece, in pieces that cannot be dealt out evenly, and in the smallest."""
    found = {}
    for micro in (None, 3, 1):
        gradients, tokens = step_gradients(size, 8, micro)
        found[micro] = {**full(gradients), "tokens": torch.tensor(tokens)}
    return found


def traps(size):
    """What goes wrong silently where nobody looks: see the tests of each."""
    model = made(size)
    plain = made(1)
    found = {"fingerprint": models.weights_fingerprint(model)}
    part = neurons.feed_forwards(model)[0].out.weight
    fired = []
    handle = part.register_hook(lambda gradient: fired.append(gradient))
    ids = torch.arange(12).view(2, 6)
    total = model(ids, use_cache=False).logits.pow(2).sum()
    trained = list(model.parameters())
    again = dict(zip(trained, sharding.gradients(total, trained, retain_graph=True), strict=True))
    kept = part.grad
    total.backward()
    handle.remove()
    found["hook fired"] = len(fired)
    found["grad untouched"] = kept is None
    found["twice"] = bool(torch.equal(sharding.whole(again[part]), sharding.whole(part.grad)))
    positive = (part.detach() > 0).sum()
    found["own number"], found["number"] = positive.item(), sharding.whole(positive).item()
    found["norm"] = models.norm(model.parameters())
    model.zero_grad(set_to_none=True)
    before = models.snapshot(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    found["moved"] = full(model.state_dict())
    found["all"] = sharding.full_weights(model) if size > 1 else full(model.state_dict())
    models.restore(model, before)
    found["restored"] = models.weights_fingerprint(model)
    models.restore(model, {name: tensor + 1 for name, tensor in plain.state_dict().items()})
    found["taken"] = full(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(ids, use_cache=False).logits.pow(2).mean().backward()
    optimizer.step()
    found["tied"] = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    weights = full(model.state_dict())
    found["equal"] = bool(torch.equal(weights["model.embed_tokens.weight"], weights["lm_head.weight"]))
    with torch.no_grad():
        last = list(model.parameters())[-2]
        values = sharding.whole(last.detach()).clone()
        values[-1] = torch.nan  # only one process has it
        last.copy_(sharding.spread_like(values, last))
    found["not finite"] = not_finite(model)
    return found


def everything(size, number):
    if size == 4:  # few, since four processes do each of them
        return {
            "gradients": all_gradients(size),
            "methods": {"ssiuu": unlearned(size, "ssiuu")},
            "traps": traps(size),
        }
    below = Damage(subject(size))
    return {
        "gradients": all_gradients(size),
        "methods": {name: unlearned(size, name) for name in METHODS},
        "accumulated": unlearned(size, "simu", micro=2),
        "coarse": unlearned(size, "gd", dtype=torch.bfloat16),
        "attacks": {name: attacked(size, name) for name in ATTACKS},
        "damage": below.kl(),
        "traps": traps(size),
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By the number of processes, what each of them found."""
    folder = tmp_path_factory.mktemp("ranks")
    return {size: in_ranks(size, folder, partial(everything, size)) for size in (1, 2, 4)}


def same(one, other, near=1e-7):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(other[name], one[name], atol=near, rtol=near)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("micro", [None, 3, 1])
def test_gradients_are_those_of_one_process(found, size, micro):
    """Also where a micro-batch cannot be dealt out evenly: each process then does all of it."""
    for process in found[size]:
        same(found[1][0]["gradients"][None], process["gradients"][micro])


@pytest.mark.parametrize("name", METHODS)
def test_a_method_leaves_the_same_model_and_says_the_same(found, name):
    expected = found[1][0]["methods"][name]
    assert expected["notes"]["steps"] == 2
    for process in [process for size in (2, 4) for process in found[size] if name in process["methods"]]:
        got = process["methods"][name]
        same(expected["weights"], got["weights"])
        assert got["scores"] == pytest.approx(expected["scores"], rel=1e-6, abs=1e-9)
        assert_near(got["notes"], expected["notes"])


def assert_near(got, expected):
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        assert got[name] == (pytest.approx(value, rel=1e-6) if numeric else value), name


def test_all_that_say_so_are_tried():
    there = registry()
    said = {name for name, entry in there.methods.items() if shards(entry.load())}
    assert said == {cls.name for cls, _ in METHODS.values()} | {"none", "retrain"}
    assert {name for name, entry in there.attacks.items() if shards(entry.load())} == set(ATTACKS)


def test_a_subclass_says_nothing_by_that():
    class Mine(GradientDifference):
        name = "mine"

    assert shards(GradientDifference)
    assert not shards(Mine)


def test_micro_batches_change_nothing(found):
    for process in found[2]:
        same(found[1][0]["methods"]["simu"]["weights"], process["accumulated"]["weights"])


def test_bfloat16_steps_masters(found):
    """Steps of 1e-2 are seen in bfloat16; a last bit may fall either way."""
    one, two = (found[size][0]["coarse"]["weights"] for size in (1, 2))
    for name in one:
        assert one[name].dtype == two[name].dtype == torch.bfloat16
        torch.testing.assert_close(two[name], one[name], atol=2e-2, rtol=2**-7)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_the_same(found, name):
    for process in found[2]:
        assert process["attacks"][name] == pytest.approx(found[1][0]["attacks"][name], rel=1e-6, abs=1e-9)


def test_damage_is_the_same(found):
    assert found[2][0]["damage"] == pytest.approx(found[1][0]["damage"], abs=1e-9)


@pytest.mark.parametrize("size", [2, 4])
def test_traps(found, size):
    one = found[1][0]["traps"]
    for process in found[size]:
        got = process["traps"]
        # Tied embeddings stay one weight, through steps and restoring.
        assert got["tied"]
        assert got["equal"]
        assert one["tied"]
        # A hook on a weight never fires: whoever needs its gradient has to ask sharding.gradients.
        assert one["hook fired"] == 2
        assert got["hook fired"] == 0
        assert got["grad untouched"]
        assert got["twice"]
        # A number of the own part is not that of the whole.
        assert got["number"] == one["number"] == one["own number"]
        assert got["norm"] == pytest.approx(one["norm"], rel=1e-12)
        # A hash is of the whole weights, whoever holds them, and restoring is exact.
        assert got["fingerprint"] == got["restored"] == one["fingerprint"]
        same(one["moved"], got["moved"], near=0)
        same(one["taken"], got["taken"], near=0)
        # NaN in the part of one process is seen by all.
        assert got["not finite"] == one["not finite"] != []
    assert sum(process["traps"]["own number"] for process in found[size]) == one["number"]
    # To be saved, the first process has all, the others nothing.
    same(one["all"], found[size][0]["traps"]["all"], near=0)
    assert not any(process["traps"]["all"] for process in found[size][1:])


def test_masked_neurons_stay_exactly_as_they_are(found):
    """SIMU's masks act in the optimiser, so it does not matter that hooks on weights never fire."""
    before = made(1).state_dict()
    for process in found[2]:
        after = process["methods"]["simu"]["weights"]
        trained = {name for name in before if not torch.equal(before[name], after[name])}
        assert trained
        assert all("self_attn" in name or "down_proj" in name for name in trained)
        for name in (name for name in before if "down_proj" in name):
            moved = before[name] != after[name]
            assert torch.equal(moved, before[name] != found[1][0]["methods"]["simu"]["weights"][name])
            assert not moved.all()


def test_one_process_is_in_no_group():
    assert not torch.distributed.is_initialized()
    assert not sharding.is_sharded(nn.Linear(2, 2))
    assert "RANK" not in os.environ
