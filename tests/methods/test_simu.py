"""RMU, KLUE and SIMU train the part of a model they should, by their equations; Sophia takes its steps."""

from __future__ import annotations

import copy

import pytest
import torch
from harness.methods.gd import GradientDifference
from harness.methods.klue import KLUE
from harness.methods.rmu import RMU
from harness.methods.simu import Simu, SimuRandom
from harness.methods.sophia import Sophia

from harness import models
from harness.keys import derive
from harness.models import blocks, linear_modules, restored
from harness.neurons import feed_forwards, hidden, one_token_each, sizes
from harness.run import Unlearning, unlearn
from harness.train import forget_steps
from harness.types import Splits
from support.attribution import attribution_of_one, influence_of_one
from support.equations import differing, flat, log_probability, loss_of, mean_loss, moved, prepared, run
from support.families import FEED_FORWARD, LINEAR

N = 4


@pytest.fixture
def job(model, make_subject, toy_benchmark, toy_splits):
    """Unlearning of four of the toy facts, all of which that model is said to know."""
    splits = Splits({name: facts[:N] for name, facts in toy_splits.items()})
    benchmark = toy_benchmark(lambda split, metric, fact: 1.0)
    return Unlearning(make_subject(benchmark, model, splits=splits), config=None, seed=0)


@pytest.fixture
def data(job):
    """Forget and retain texts: answers of two tokens (a word and the end) and of three."""
    return job.subject.encode(job.forget), job.subject.encode(job.retain)


@pytest.fixture
def batch(job, data):
    """All of them as one step."""
    [[batch]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    return batch


def settings(method, rate=1e-3, **more):
    """Settings for a short run at one rate."""
    return method.Config(**({"learning_rates": (rate,), "epochs": 2, "batch_size": 4} | more))


def assert_same_gradient(parameters, found, expected, near=1e-6):
    torch.testing.assert_close(found.double(), expected, atol=near, rtol=near)
    parameters = list(parameters)
    left, right = (flat(torch.autograd.grad(value, parameters)) for value in (found, expected))
    assert right.norm() > 0
    assert (left - right).norm() <= near * right.norm()


def unlearnt(method, job, seed=3, micro=None):
    """Unlearn a copy of the job's model; return the job that did it."""
    subject = copy.copy(job.subject)
    subject.model, subject.micro_batch = copy.deepcopy(job.model), micro
    return unlearn(subject, method, seed)


# RMU.


@pytest.fixture
def deep(tiny, job):
    """The job with a model of four layers; RMU of depth 0.5 looks at layer 2 of it."""
    job.subject.model = tiny(num_hidden_layers=4).double()
    return job


def states(model, example, layer):
    """h_l of one text (tokens, d), from the full model."""
    ids = torch.tensor([[*example[0], *example[1]]])
    return model(ids, output_hidden_states=True).hidden_states[layer + 1][0]


def mean_square(difference):
    return (difference**2).mean()


@pytest.mark.parametrize(("strength", "alpha"), [(5.0, 20.0), (1.0, 0.0), (0.5, 3.0)])
def test_rmu_is_its_equation(strength, alpha, deep, batch, data):
    method = prepared(RMU(RMU.Config(depth=0.5, strength=strength, alpha=alpha)), deep)
    original = copy.deepcopy(deep.model)
    with torch.no_grad():
        for i, parameter in enumerate(method.trained):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            parameter.add_(0.05 * noise)
    expected = 0.0
    for example in data[0]:
        expected = expected + mean_square(states(deep.model, example, 2) - method.target) / N
    for example in data[1]:
        before = states(original, example, 2).detach()
        expected = expected + alpha * mean_square(states(deep.model, example, 2) - before) / N
    assert_same_gradient(method.trained, loss_of(method, deep.model, batch), expected)


def test_the_target_of_rmu_is_a_scaled_direction_without_negative_parts(deep, data):
    method = prepared(RMU(RMU.Config(depth=0.5, strength=3.0)), deep)
    lengths = torch.cat([states(deep.model, example, 2).norm(dim=-1) for example in data[0]])
    c = 3.0 * lengths.median().item()
    assert deep.notes["layer"] == 2
    assert deep.notes["typical_length"] == pytest.approx(c / 3.0)
    assert deep.notes["c"] == pytest.approx(c)
    u = method.target / deep.notes["c"]
    assert u.norm().item() == pytest.approx(1.0)
    assert (u >= 0).all()
    assert len(set(u.tolist())) == 16
    assert method.target.norm().item() == pytest.approx(c)


def test_the_direction_of_rmu_depends_on_the_seed_alone(deep):
    targets = []
    for seed in (0, 0, 1):
        deep.seed = seed
        torch.manual_seed(seed + 17)
        targets.append(prepared(RMU(), deep).target)
    assert torch.equal(targets[0], targets[1])
    assert not torch.equal(targets[0], targets[2])


@pytest.mark.parametrize(
    ("layers", "depth", "layer"),
    [
        (1, 7 / 32, 0),
        (2, 7 / 32, 1),
        (3, 7 / 32, 2),
        (4, 0.0, 2),
        (4, 0.75, 3),
        (8, 0.99, 7),
        (32, 7 / 32, 7),
    ],
)
def test_rmu_trains_the_last_feed_forward_maps_of_three_layers(layers, depth, layer, tiny, job):
    model = job.subject.model = tiny(num_hidden_layers=layers)
    method = prepared(RMU(RMU.Config(depth=depth)), job)
    assert method.layer == layer
    every = [part.out.weight for part in feed_forwards(model)]
    found = list(method.trainable(model))
    assert [id(p) for p in found] == [id(p) for p in every[max(0, layer - 2) : layer + 1]]


@pytest.mark.parametrize("family", LINEAR)
def test_rmu_changes_nothing_else(family, tiny, make_subject, toy_benchmark):
    model = tiny(family, num_hidden_layers=5)
    before = models.snapshot(model)
    method = RMU(settings(RMU, epochs=1, batch_size=6, depth=0.6))
    after = run(method, make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    names = {parameter: name for name, parameter in model.named_parameters()}
    outs = [names[part.out.weight] for part in feed_forwards(model)]
    assert set(differing(before, after)) == set(outs[1:4])


def test_nothing_above_the_layer_of_rmu_runs(deep, batch):
    method = prepared(RMU(RMU.Config(depth=0.5)), deep)
    ran = []
    for i, block in enumerate(blocks(deep.model)):
        block.register_forward_pre_hook(lambda module, args, i=i: ran.append(i))
    deep.model.lm_head.register_forward_pre_hook(lambda module, args: ran.append("head"))
    loss_of(method, deep.model, batch).backward()
    assert ran == [0, 1, 2] * 3  # retain before, forget, retain


def test_the_retain_term_of_rmu_is_nothing_at_the_start(deep, batch):
    method = prepared(RMU(RMU.Config(depth=0.5, alpha=0.0)), deep)
    without = loss_of(method, deep.model, batch)
    method.config = RMU.Config(depth=0.5, alpha=1e9)
    assert torch.equal(loss_of(method, deep.model, batch), without)


def test_rmu_remembers_the_hidden_states_of_the_original(deep, batch):
    original = copy.deepcopy(deep.model)
    method = RMU(settings(RMU, epochs=4, batch_size=2, depth=0.5, rate=1e-2))
    unlearn(deep.subject, method, seed=0)
    now = hidden(deep.model, batch.retain, 2)
    with torch.no_grad(), restored(method.trained, method.old):
        before = hidden(deep.model, batch.retain, 2)
    assert torch.equal(before, hidden(original, batch.retain, 2))
    assert not torch.allclose(now, before, atol=1e-3)
    assert torch.equal(now, hidden(deep.model, batch.retain, 2))


def test_an_error_in_rmu_does_not_leave_the_old_weights_behind(deep, batch):
    method = prepared(RMU(RMU.Config(depth=0.5)), deep)
    with torch.no_grad():
        for parameter in method.trained:
            parameter.add_(1.0)
    now = models.snapshot(deep.model)

    def fail(*args):
        raise ZeroDivisionError

    handle = blocks(deep.model)[1].register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError):
        loss_of(method, deep.model, batch)
    handle.remove()
    assert differing(now, models.snapshot(deep.model)) == []


def test_rmu_moves_forget_texts_and_holds_retain_texts(deep, batch):
    original = copy.deepcopy(deep.model)
    method = RMU(settings(RMU, epochs=30, batch_size=4, depth=0.5, strength=5.0, rate=3e-3, alpha=20.0))
    unlearn(deep.subject, method, seed=0)

    def far(model, texts, target):
        return ((hidden(model, texts, 2) - target)[texts.attention_mask.bool()] ** 2).mean().item()

    held = hidden(original, batch.retain, 2)
    closer = far(deep.model, batch.forget, method.target) / far(original, batch.forget, method.target)
    assert closer < 0.9
    moved_by = far(deep.model, batch.forget, hidden(original, batch.forget, 2))
    assert far(deep.model, batch.retain, held) < 0.9 * moved_by


# KLUE.


def influence_of_all(model, examples, positive=False):
    """Mean A (L, units) over examples, one at a time."""
    total = 0.0
    for example in examples:
        each = torch.stack([influence_of_one(model, *example, layer).amax(dim=0) for layer in range(2)])
        total = total + (each.clamp(min=0) if positive else each)
    return total / len(examples)


@pytest.mark.parametrize("contrast", [0.0, 0.5, 10.0])
def test_klue_chooses_neurons_for_the_true_answers_and_not_for_others(contrast, job, data, monkeypatch):
    asked = []
    plain = KLUE.mean_influence

    def watched(self, job, rows, positive=False):
        asked.append(rows)
        return plain(self, job, rows, positive)

    monkeypatch.setattr(KLUE, "mean_influence", watched)
    method = prepared(KLUE(KLUE.Config(n=3, contrast=contrast, share=0.25)), job)
    true, others = sorted(asked, key=len)
    assert true == data[0]
    for i, (prompt, answer) in enumerate(true):
        mine = others[3 * i : 3 * i + 3]
        assert {head for head, _ in mine} == {prompt}
        assert {wrong for _, wrong in mine} == {a for _, a in true} - {answer}
    scores = influence_of_all(job.model, true) - contrast * influence_of_all(job.model, others, positive=True)
    assert int(method.chosen.sum()) == 12
    assert scores[method.chosen].min() >= scores[~method.chosen].max() - 1e-6 * scores.abs().max()


def test_the_mismatched_answers_of_klue_depend_on_the_seed_alone(job):
    def chosen(seed):
        job.seed = seed
        return prepared(KLUE(KLUE.Config(n=1)), job).chosen

    assert torch.equal(chosen(0), chosen(0))
    assert any(not torch.equal(chosen(0), chosen(seed)) for seed in range(1, 6))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_klue_trains_the_share_it_is_told(share, job):
    method = prepared(KLUE(KLUE.Config(share=share)), job)
    assert int(method.chosen.sum()) == max(1, round(share * 48))


@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 1.0), (0.5, 3.0)])
@pytest.mark.parametrize("known", [(0, 1, 2, 3), (0, 3), (2,)])
def test_klue_is_gradient_difference_on_what_is_not_forgotten(known, gamma, alpha, job, batch, data):
    ids = {job.forget[i].id for i in known}
    job.subject.benchmark.value = lambda split, metric, fact: float(fact.id in ids)
    method = prepared(KLUE(KLUE.Config(gamma=gamma, alpha=alpha)), job)
    method.new_epoch(job, 0)
    forget, retain = data
    total = sum(len(forget[i][1]) for i in known)
    expected = alpha * mean_loss(job.model, retain)
    for i in known:
        expected = expected + gamma * log_probability(job.model, *forget[i]) / total
    assert_same_gradient(job.model.parameters(), loss_of(method, job.model, batch), expected)


def test_klue_looks_anew_each_epoch_at_what_is_forgotten(job, batch, data):
    answers = dict.fromkeys((fact.id for fact in job.forget), 1.0)
    job.subject.benchmark.value = lambda split, metric, fact: answers[fact.id]
    method = prepared(KLUE(), job)
    method.new_epoch(job, 0)
    whole = loss_of(GradientDifference(), job.model, batch)
    torch.testing.assert_close(loss_of(method, job.model, batch), whole)
    answers.update(dict.fromkeys(answers, 0.3))  # the toy's threshold
    torch.testing.assert_close(loss_of(method, job.model, batch), whole)
    method.new_epoch(job, 1)
    assert_same_gradient(
        job.model.parameters(), loss_of(method, job.model, batch), mean_loss(job.model, data[1])
    )


@pytest.mark.parametrize("family", LINEAR)
def test_klue_leaves_everything_but_its_neurons_bit_for_bit(family, tiny, make_subject, toy_benchmark):
    model = tiny(family)
    before = models.snapshot(model)
    method = KLUE(settings(KLUE, epochs=5, batch_size=4, weight_decay=0.5, n=1, rate=1e-2))
    after = run(method, make_subject, toy_benchmark, model)
    assert all(value.isfinite().all() for value in after.values())
    assert int(method.chosen.sum()) == round(0.1 * method.chosen.numel())
    allowed = entries(model, method.chosen, into=True)
    for name, value in after.items():
        same = value == before[name]
        assert same[~allowed[name]].all()
        assert not same[allowed[name]].any()


def entries(model, chosen, into, attention=False):
    """Of each tensor of the state, the entries that may train: written out per kind of module."""
    free = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in model.state_dict().items()}
    names = {parameter: name for name, parameter in model.named_parameters(remove_duplicate=False)}
    for part, units in zip(feed_forwards(model), chosen, strict=True):
        for unit in units.nonzero().flatten().tolist():
            plain = isinstance(part.out, torch.nn.Linear)
            free[names[part.out.weight]][(slice(None), unit) if plain else (unit, slice(None))] = True
            for module in part.into if into else ():
                for row in range(unit, sizes(module)[1], part.units):  # of the gate, and of the map behind it
                    free[names[module.weight]][(row, slice(None)) if plain else (slice(None), row)] = True
                    if module.bias is not None:
                        free[names[module.bias]][row] = True
    for block in blocks(model) if attention else ():
        for path, module in linear_modules(block).items():
            if "att" in path:
                for parameter in module.parameters():
                    free[names[parameter]][:] = True
    return free


# Sophia.


def hand_sophia(theta, gradients, estimates, lr, rho, decay, beta_1=0.9, beta_2=0.95, eps=1e-15):
    """theta after a list of steps, in plain floats; an estimate is None where there is none."""
    m = h = 0.0
    clipped = 0
    for g, estimate in zip(gradients, estimates, strict=True):
        if estimate is not None:
            h = beta_2 * h + (1 - beta_2) * estimate
        m = beta_1 * m + (1 - beta_1) * g
        ratio = m / max(rho * h, eps)
        clipped += abs(ratio) > 1
        theta = theta - lr * decay * theta - lr * max(-1.0, min(1.0, ratio))
    return theta, clipped


@pytest.mark.parametrize(("rho", "decay"), [(0.04, 0.1), (20.0, 0.0), (1000.0, 0.5)])
def test_sophia_takes_the_steps_of_its_paper(rho, decay):
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(12, 7, generator=generator, dtype=torch.float64)
    estimates = [
        torch.rand(7, generator=generator, dtype=torch.float64) if i % 5 == 0 else None for i in range(12)
    ]
    start = torch.randn(7, generator=generator, dtype=torch.float64)
    parameter = torch.nn.Parameter(start.clone())
    sophia = Sophia([parameter], lr=0.01, rho=rho, weight_decay=decay)
    for gradient, estimate in zip(gradients, estimates, strict=True):
        parameter.grad = gradient.clone()
        if estimate is not None:
            sophia.observe({parameter: estimate})
        sophia.step()
    found = [
        hand_sophia(
            start[i].item(),
            gradients[:, i].tolist(),
            [None if e is None else e[i].item() for e in estimates],
            0.01,
            rho,
            decay,
        )
        for i in range(7)
    ]
    expected = torch.tensor([value for value, _ in found], dtype=torch.float64)
    torch.testing.assert_close(parameter.detach(), expected, atol=1e-9, rtol=0)
    assert (sophia.clipped, sophia.seen) == (sum(c for _, c in found), 12 * 7)


def test_sophia_without_curvature_takes_the_sign():
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([2.0, -0.5, 0.0])
    Sophia([parameter], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-0.1, 0.1, 0.0]))


def test_sophia_leaves_a_parameter_without_gradient():
    parameter = torch.nn.Parameter(torch.ones(3))
    Sophia([parameter], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(parameter.detach(), torch.ones(3))


# SIMU.


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
    monkeypatch.setattr("harness.methods.simu.integrated_influence", lambda model, texts, m: scores)
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


@pytest.mark.parametrize("make", [KLUE, RMU, Simu, SimuRandom])
def test_a_rate_starts_without_what_the_last_left_behind(make, job):
    left, right = (
        unlearnt(make(settings(make, epochs=12, learning_rates=grid)), job)
        for grid in ((1e-3,), (1e-4, 1e-3))
    )
    assert differing(models.snapshot(left.model), models.snapshot(right.model)) == []
    assert left.notes == right.notes


# All of them.


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [KLUE, RMU, Simu])
def test_micro_batches_add_up_to_the_step(make, micro, job, data):
    method = prepared(make(), job)
    method.start(job.model)
    method.new_epoch(job, 0)
    trained = list(method.trainable(job.model))
    original, now = models.snapshot(job.model), moved(job.model)
    models.restore(job.model, now.state_dict())
    assert differing(original, models.snapshot(job.model))
    if make is Simu:
        method.config = Simu.Config(hessian="squared")
    [[whole]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, N, 1, seed=0, micro=micro)
    assert len(parts) > 1

    def gradient(part):
        return flat(torch.autograd.grad(loss_of(method, job.model, part), trained))

    expected = gradient(whole)
    assert (sum(map(gradient, parts)) - expected).norm() <= 1e-6 * expected.norm()


def test_every_family_is_tested():
    assert LINEAR.keys() == FEED_FORWARD.keys()
    assert len(LINEAR) == 11
