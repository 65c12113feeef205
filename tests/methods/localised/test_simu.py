"""SIMU trains attention and its critical neurons alone, by second-order steps."""

from __future__ import annotations

import copy

import pytest
import torch
from harness.methods._sophia import Sophia
from harness.methods.simu import Simu, SimuRandom

from harness.core.keys import derive
from harness.engine.unlearning import unlearn
from harness.model import models
from harness.model.neurons import feed_forwards, one_token_each
from harness.model.steps import forget_steps
from support.attribution import attribution_of_one
from support.equations import differing, mean_loss, prepared, run
from support.families import LINEAR
from support.localised import entries, settings, unlearnt


class AllNeurons(Simu):
    """SIMU that chooses every neuron."""

    def choose(self, job):
        return torch.ones(2, feed_forwards(job.model)[0].units, dtype=torch.bool)


class Unmasked(AllNeurons):
    """Second-order gradient difference: the same parameters with Sophia and no mask."""

    def optimizer(self, parameters, lr):
        self.masks = {}
        self.sophia = Sophia(parameters, lr, rho=self.config.rho, weight_decay=self.config.weight_decay)
        return self.sophia


def attributions(model, examples, steps):
    rows = one_token_each(examples)
    return torch.stack(
        [sum(attribution_of_one(model, list(p), a[0], layer, steps) for p, a in rows) for layer in range(2)]
    )


@pytest.mark.parametrize("t", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("dual", ["keep", "drop"])
def test_simu_chooses_the_critical_neurons(t, dual, job, data):
    method = prepared(Simu(Simu.Config(t=t, dual=dual, m=3)), job)
    critical = []
    for examples in data:
        scores = attributions(job.model, examples, 3)
        critical.append(scores > t * scores.amax(dim=1, keepdim=True))
    assert (critical[0] & critical[1]).any()
    expected = critical[0] if dual == "keep" else critical[0] & ~critical[1]
    assert torch.equal(method.chosen, expected)
    assert 0 < int(expected.sum()) < expected.numel()
    assert job.notes["critical_share"] == pytest.approx(expected.double().mean().item())


def test_simu_takes_every_neuron_where_all_scores_are_above_no_threshold(job, monkeypatch):
    scores = torch.rand(2, 24, generator=torch.Generator().manual_seed(0)) + 0.01
    monkeypatch.setattr("harness.methods.simu.neurons.integrated_influence", lambda model, texts, m: scores)
    assert prepared(Simu(Simu.Config(t=0.0)), job).chosen.all()
    assert int(prepared(Simu(Simu.Config(t=1.0)), job).chosen.sum()) == 0


def test_simu_random_takes_as_many_neurons_of_each_layer(job):
    critical = prepared(Simu(), job).chosen
    drawn = prepared(SimuRandom(), job).chosen
    assert drawn.sum(dim=1).tolist() == critical.sum(dim=1).tolist()
    assert not torch.equal(drawn, critical)
    assert torch.equal(prepared(SimuRandom(), job).chosen, drawn)
    job.seed = 1
    assert not torch.equal(prepared(SimuRandom(), job).chosen, drawn)
    assert torch.equal(prepared(Simu(), job).chosen, critical)


@pytest.mark.parametrize("family", LINEAR)
@pytest.mark.parametrize(
    ("make", "hessian"), [(Simu, "gauss-newton"), (Simu, "squared"), (SimuRandom, "gauss-newton")]
)
def test_simu_leaves_everything_but_attention_and_its_neurons_bit_for_bit(
    make, hessian, family, tiny, make_subject, toy_benchmark
):
    model = tiny(family)
    before = models.snapshot(model)
    method = make(settings(make, epochs=2, batch_size=4, weight_decay=0.5, hessian=hessian, m=1))
    after = run(method, make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    allowed = entries(model, method.chosen, into=False, attention=True)
    for name, value in after.items():
        assert torch.equal(value[~allowed[name]], before[name][~allowed[name]])
        if allowed[name].any():
            assert (value != before[name])[allowed[name]].float().mean() > 0.5


@pytest.mark.parametrize("hessian", ["gauss-newton", "squared"])
def test_masked_neurons_have_neither_moment_nor_curvature(hessian, job):
    method = Simu(settings(Simu, epochs=3, hessian=hessian, t=0.3))
    unlearn(job.subject, method, seed=0)
    for part, chosen in zip(feed_forwards(job.model), method.chosen, strict=True):
        state = method.sophia.state[part.out.weight]
        assert 0 < int(chosen.sum()) < len(chosen)
        for name in ("m", "H"):
            assert not state[name][:, ~chosen].any()
            assert state[name][:, chosen].all()


@pytest.mark.parametrize("hessian", ["gauss-newton", "squared"])
def test_simu_with_every_neuron_is_second_order_gradient_difference_bit_for_bit(hessian, job):
    left, right = (
        models.snapshot(unlearnt(make(settings(make, epochs=12, hessian=hessian)), job).model)
        for make in (AllNeurons, Unmasked)
    )
    assert differing(left, right) == []
    assert len(differing(left, models.snapshot(job.model))) == 2 * 5


def sampled_loss(model, examples):
    """CE with the likeliest token of the model as the label of each answer position."""
    total, count = 0.0, 0
    for prompt, answer in examples:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(dim=-1)
        total = total - logprobs.gather(1, logits.argmax(dim=-1, keepdim=True)).sum()
        count += len(answer)
    return total / count


@pytest.mark.parametrize("micro", [None, 1])
@pytest.mark.parametrize(("hessian", "rho"), [("gauss-newton", 1e3), ("squared", 50.0), ("squared", 0.04)])
def test_simu_takes_the_steps_written_out_by_hand(hessian, rho, micro, job, data, monkeypatch):
    """Twelve steps, the curvature of sampled labels seen twice; the label drawn is made the likeliest."""
    monkeypatch.setattr(torch, "multinomial", lambda pi, n, generator: pi.argmax(dim=-1, keepdim=True))
    lr, alpha, decay = 1e-3, 2.0, 0.1
    method = Simu(settings(Simu, epochs=6, batch_size=2, warmup_epochs=0.0, hessian=hessian, rho=rho, t=0.3))
    done = unlearnt(method, job, micro=micro)
    assert done.cost.steps == 12

    now = copy.deepcopy(job.model)
    allowed = entries(now, method.chosen, into=False, attention=True)
    trained = {name: p for name, p in now.named_parameters() if allowed[name].any()}
    m = {name: torch.zeros_like(p) for name, p in trained.items()}
    h = {name: torch.zeros_like(p) for name, p in trained.items()}
    clipped = seen = 0
    forget, retain = data
    for step, [part] in enumerate(forget_steps(job.tokens, *data, 2, 12, derive(3, "order"))):
        mine = [forget[i] for i in part.forget.index.tolist()]
        kept = [retain[i] for i in part.retain.index.tolist()]

        def grads(value):
            return torch.autograd.grad(value, list(trained.values()))

        g = grads(-mean_loss(now, mine) + alpha * mean_loss(now, kept))
        if hessian == "squared":
            estimate = [each**2 for each in g]
        elif step % 10 == 0:
            size = sum(len(answer) for _, answer in mine)
            estimate = [size * each**2 for each in grads(sampled_loss(now, mine) + sampled_loss(now, kept))]
        else:
            estimate = None
        with torch.no_grad():
            for i, (name, p) in enumerate(trained.items()):
                free = allowed[name]
                if estimate is not None:
                    h[name] = 0.95 * h[name] + 0.05 * estimate[i] * free
                m[name] = 0.9 * m[name] + 0.1 * g[i] * free
                ratio = m[name] / (rho * h[name]).clamp(min=1e-15)
                clipped, seen = clipped + int((ratio.abs() > 1).sum()), seen + int(free.sum())
                p.sub_(free * lr * (decay * p + ratio.clamp(-1, 1)))
    for name, parameter in done.model.named_parameters():
        torch.testing.assert_close(parameter, now.get_parameter(name), atol=1e-6, rtol=0)
    assert done.notes["clipped_share"] == pytest.approx(clipped / seen, abs=1e-3)
    assert (0.001 < clipped / seen < 0.9) == (rho > 1)  # both sides of the clip are met


def labels_drawn(job, micro, seed=3, **more):
    """What SIMU draws as labels at each estimate, in the order of the texts."""
    drawn = []
    plain = torch.multinomial

    def watched(pi, n, generator):
        found = plain(pi, n, generator=generator)
        drawn.append((pi, found))
        return found

    method = Simu(settings(Simu, epochs=6, batch_size=2, **more))
    torch.multinomial = watched
    try:
        done = unlearnt(method, job, seed=seed, micro=micro)
    finally:
        torch.multinomial = plain
    return drawn, models.snapshot(done.model)


def test_labels_are_drawn_from_what_the_model_says(job):
    drawn, _ = labels_drawn(job, None)
    surprise = [pi.gather(1, found).log() for pi, found in drawn]
    assert torch.cat(surprise).isfinite().all()
    assert any((found != pi.argmax(dim=1, keepdim=True)).any() for pi, found in drawn)


@pytest.mark.parametrize("hessian", ["gauss-newton", "squared"])
def test_simu_does_not_depend_on_micro_batches(hessian, job):
    """The curvature counts in few entries where all are clipped; here rho is large."""
    found = [labels_drawn(job, micro, hessian=hessian, rho=1e3)[1] for micro in (None, 1)]
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], atol=1e-6, rtol=0)
