"""The one training loop: parts add up to the whole, order comes from the seed, nothing else is touched."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from harness.methods.npo import NPO

from harness.core.batch import TokenBatch, answer_tokens
from harness.core.types import Example, Prompt
from harness.errors import HarnessError
from harness.model.losses import cross_entropy, reference_nll
from harness.model.models import snapshot
from harness.model.steps import corpus_steps, endless, forget_steps, plain_steps
from harness.model.train import Diverged, train, warmup, warmup_then_linear
from support.equations import looking


@pytest.fixture(scope="module")
def encode(tokens, toy_splits):
    """Encoded examples of a split."""

    def encode(split, n=12):
        return tokens.examples([Example(Prompt(f.question), f.answer) for f in toy_splits[split][:n]])

    return encode


def gd(model, batch):
    return -cross_entropy(model, batch.forget) + cross_entropy(model, batch.retain)


def sgd(model, lr=0.1):
    return [torch.optim.SGD(model.parameters(), lr=lr)]


def step_gradients(model, steps, loss):
    """The gradients the optimiser would see at the first step."""
    seen = []

    def keep(model):
        seen.extend(p.grad.detach().clone() for p in model.parameters())

    train(model, steps, loss, sgd(model, 0.0), after_backward=keep, check=lambda step: True)
    return seen


def npo(model, tokens, data):
    method = NPO()
    method.reference = reference_nll(looking(model, tokens), data) + 0.3  # as if the model had moved
    return method.loss


@pytest.mark.parametrize("method", ["gd", "npo"])
@pytest.mark.parametrize("micro", [1, 2, 3, 7])
def test_micro_batches_add_up_to_the_big_batch(method, micro, tiny, tokens, encode):
    model = tiny().double()
    forget, retain = encode("forget"), encode("retain")
    loss = gd if method == "gd" else npo(model, tokens, forget)
    whole = step_gradients(model, forget_steps(tokens, forget, retain, 8, 1, 0), loss)
    parts = step_gradients(model, forget_steps(tokens, forget, retain, 8, 1, 0, micro), loss)
    scale = max(float(gradient.abs().max()) for gradient in whole)
    for big, small in zip(whole, parts, strict=True):
        torch.testing.assert_close(small, big, atol=1e-6 * scale, rtol=0)


def chosen(steps):
    """Which forget and retain items each step holds."""
    return [
        (
            [i for batch in step for i in batch.forget.index.tolist()],
            [i for batch in step for i in batch.retain.index.tolist()],
        )
        for step in steps
    ]


def test_the_order_is_that_of_the_seed(tokens, encode):
    forget, retain = encode("forget"), encode("retain")
    first, again, other = (chosen(forget_steps(tokens, forget, retain, 5, 6, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_do_not_change_the_order(micro, tokens, encode):
    forget, retain = encode("forget"), encode("retain")
    assert chosen(forget_steps(tokens, forget, retain, 5, 6, 0, micro)) == chosen(
        forget_steps(tokens, forget, retain, 5, 6, 0)
    )


def test_every_item_is_seen_once_each_time_round(tokens, encode):
    steps = chosen(forget_steps(tokens, encode("forget"), encode("retain"), 4, 6, 0))
    for half in (0, 1):
        order = [i for step in steps for i in step[half]]
        assert sorted(order[:12]) == sorted(order[12:]) == list(range(12))
        assert order[:12] != order[12:]


def test_the_retain_items_do_not_depend_on_the_number_of_forget_items(tokens, encode):
    few = chosen(forget_steps(tokens, encode("forget", 5), encode("retain"), 4, 6, 0))
    many = chosen(forget_steps(tokens, encode("forget", 12), encode("retain"), 4, 6, 0))
    assert [retain for _, retain in few] == [retain for _, retain in many]


def test_a_batch_is_never_larger_than_the_forget_set_and_as_large_in_both_halves(tokens, encode):
    for forget, retain in chosen(forget_steps(tokens, encode("forget", 3), encode("retain", 2), 8, 3, 0)):
        assert sorted(forget) == [0, 1, 2]
        assert len(retain) == 3


def test_plain_steps_hold_texts_of_one_set(tokens, encode):
    steps = list(plain_steps(tokens, encode("forget"), 4, 2, 0))
    assert [len(texts) for [texts] in steps] == [4, 4]
    assert all(isinstance(texts, TokenBatch) for [texts] in steps)


def test_endless_shuffles_anew():
    order = endless(6, random.Random(0))
    rounds = [[next(order) for _ in range(6)] for _ in range(3)]
    assert all(sorted(each) == list(range(6)) for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1


def test_a_corpus_is_passed_once_an_epoch_in_an_order_of_the_seed(tokens, encode):
    def order(seed):
        steps = corpus_steps(tokens, encode("forget"), 5, 2, seed)
        return [i for [texts] in steps for i in texts.index.tolist()]

    assert sorted(order(0)[:12]) == sorted(order(0)[12:]) == list(range(12))
    assert order(0) == order(0) != order(1)


def global_state():
    return (random.getstate(), torch.random.get_rng_state().tolist(), repr(np.random.get_state()))


def trained(tiny, tokens, encode, family="llama", **settings):
    """Weights after three steps of gradient difference."""
    model = tiny(family, **settings)
    train(model, forget_steps(tokens, encode("forget"), encode("retain"), 4, 3, 0), gd, sgd(model))
    return snapshot(model)


def assert_bitwise(left, right):
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_training_neither_reads_nor_moves_global_random_state(tiny, tokens, encode):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = global_state()
        first = trained(tiny, tokens, encode)
        assert global_state() == before
        torch.manual_seed(2)
        assert_bitwise(trained(tiny, tokens, encode), first)


def test_dropout_is_off(tiny, tokens, encode):
    dropout = {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1}
    first, second = (trained(tiny, tokens, encode, "gpt2", **dropout) for _ in range(2))
    assert_bitwise(first, second)
    without = dict.fromkeys(dropout, 0.0)
    assert_bitwise(first, trained(tiny, tokens, encode, "gpt2", **without))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_ends_training_before_it_reaches_the_weights(value, tiny, tokens, encode):
    model = tiny()
    calls = []

    def loss(model, batch):
        calls.append(1)
        return cross_entropy(model, batch) * (value if len(calls) == 2 else 1.0)

    kept = []
    with pytest.raises(Diverged, match="at step 2"):
        train(
            model,
            plain_steps(tokens, encode("forget"), 4, 3, 0),
            loss,
            sgd(model),
            check=lambda step: bool(kept.append(snapshot(model))),
        )
    assert_bitwise(snapshot(model), *kept)


def test_training_stops_when_the_check_says_so(tiny, tokens, encode):
    model = tiny()
    checked = []

    def check(step):
        checked.append(step)
        return step == 2

    cost = train(
        model, plain_steps(tokens, encode("forget"), 4, 9, 0), cross_entropy, sgd(model), check=check
    )
    assert checked == [1, 2]
    assert cost.steps == 2


def test_cost_counts_every_token_that_is_no_padding(tiny, tokens, encode):
    forget, retain = encode("forget"), encode("retain")
    steps = chosen(forget_steps(tokens, forget, retain, 4, 3, 0))
    lengths = {"f": [len(p) + len(a) for p, a in forget], "r": [len(p) + len(a) for p, a in retain]}
    expected = sum(lengths["f"][i] for f, _ in steps for i in f) + sum(
        lengths["r"][i] for _, r in steps for i in r
    )
    model = tiny()
    cost = train(model, forget_steps(tokens, forget, retain, 4, 3, 0, micro=3), gd, sgd(model))
    assert (cost.steps, cost.tokens) == (3, expected)
    assert cost.seconds > 0
    assert cost.peak_memory_mib > 0


def test_the_rate_multiplies_that_of_the_optimiser_step_by_step(tiny, tokens, encode):
    model = tiny()
    [optimizer] = sgd(model, 0.5)
    seen = []
    train(
        model,
        plain_steps(tokens, encode("forget"), 4, 4, 0),
        cross_entropy,
        [optimizer],
        rate=warmup(4),
        after_backward=lambda model: seen.append(optimizer.param_groups[0]["lr"]),
    )
    assert seen == pytest.approx([0.125, 0.25, 0.375, 0.5])


def test_a_plain_step_of_descent_is_the_gradient_times_the_rate(tiny, tokens, encode):
    model = tiny().double()
    before = snapshot(model)
    data = encode("forget")
    [[batch]] = plain_steps(tokens, data, 12, 1, 0)
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(cross_entropy(model, batch), list(parameters.values()))
    train(model, [[batch]], cross_entropy, sgd(model, 0.5))
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), before[name] - 0.5 * gradient)


def test_clipping_bounds_the_norm_of_the_gradient_and_keeps_its_direction(tiny, tokens, encode):
    steps = list(plain_steps(tokens, encode("forget"), 4, 1, 0))
    moves = []
    for clip in (None, 1e-2):
        model = tiny().double()
        before = snapshot(model)
        train(model, steps, cross_entropy, sgd(model, 1.0), clip=clip)
        moves.append(torch.cat([(p.detach() - before[n]).flatten() for n, p in model.named_parameters()]))
    free, clipped = moves
    assert free.norm() > 1e-2
    assert clipped.norm() == pytest.approx(1e-2, rel=1e-3)
    assert torch.cosine_similarity(free, clipped, dim=0) == pytest.approx(1.0)


def test_edits_after_the_backward_pass_reach_the_optimiser(tiny, tokens, encode):
    model = tiny()
    before = snapshot(model)

    def nothing(model):
        for parameter in model.parameters():
            parameter.grad.zero_()

    steps = plain_steps(tokens, encode("forget"), 4, 2, 0)
    train(model, steps, cross_entropy, sgd(model), after_backward=nothing)
    assert_bitwise(snapshot(model), before)


def test_gradients_of_before_do_not_count(tiny, tokens, encode):
    clean, dirty = tiny(), tiny()
    for parameter in dirty.parameters():
        parameter.grad = torch.ones_like(parameter)
    for model in (clean, dirty):
        train(model, plain_steps(tokens, encode("forget"), 4, 2, 0), cross_entropy, sgd(model))
    assert_bitwise(snapshot(clean), snapshot(dirty))
    assert all(parameter.grad is None for parameter in dirty.parameters())


def test_warm_up_rises_to_the_full_rate_and_stays():
    assert [warmup(4)(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [warmup(0)(step) for step in range(2)] == [1.0, 1.0]


def test_warm_up_and_decline_meet_at_the_full_rate_and_end_at_zero():
    rate = warmup_then_linear(2, 10)
    assert [rate(step) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert rate(6) == pytest.approx(0.5)
    assert rate(10) == 0.0
    assert all(0.0 <= warmup_then_linear(0, n)(step) <= 1.0 for n in (1, 3) for step in range(n + 1))


def test_a_step_of_a_corpus_counts_its_own_answers(tokens, encode):
    data = encode("forget")
    for [batch] in corpus_steps(tokens, data, 5, 1, 0):
        index = batch.index.tolist()
        assert batch.step_items == len(index)
        assert batch.step_tokens == answer_tokens(data, index)


def named(model, batch):
    yield "forget", -cross_entropy(model, batch.forget)
    yield "retain", cross_entropy(model, batch.retain)


@pytest.mark.parametrize("micro", [None, 3])
def test_the_gradients_of_named_terms_come_apart_and_add_up(micro, tiny, tokens, encode):
    forget, retain = encode("forget"), encode("retain")
    found = {}

    def combine(model, gradients):
        found.update(gradients)
        for parameter in model.parameters():
            parameter.grad = sum(term[parameter] for term in gradients.values())

    def kept(combine):
        model, seen = tiny().double(), []
        steps = forget_steps(tokens, forget, retain, 8, 1, 0, micro)
        train(
            model,
            steps,
            named,
            sgd(model, 0.0),
            after_backward=lambda model: seen.extend(p.grad.clone() for p in model.parameters()),
            combine=combine,
        )
        return model, seen

    (model, apart), (_, together) = kept(combine), kept(None)
    assert list(found) == ["forget", "retain"]
    for one, other in zip(apart, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-9)
    [[whole]] = forget_steps(tokens, forget, retain, 8, 1, 0)
    for name, value in named(model, whole):
        expected = torch.autograd.grad(value, list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][parameter], gradient, atol=1e-10, rtol=1e-6)


def forgot_to_return(model, batch):
    cross_entropy(model, batch.forget)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (
            forgot_to_return,
            r"forgot_to_return \(test_train\.py, line \d+\) gave None for a loss: return a scalar",
        ),
        (lambda model, batch: [None], "gave None for a loss"),
        (lambda model, batch: cross_entropy(model, batch.forget)[None], r"gave a tensor of shape \(1,\)"),
        (lambda model, batch: cross_entropy(model, batch.forget).detach(), "gave a term without a gradient"),
    ],
)
def test_a_loss_that_is_no_scalar_is_named_with_its_place(loss, words, tiny, tokens, encode):
    model = tiny()
    steps = forget_steps(tokens, encode("forget"), encode("retain"), 4, 1, 0)
    with pytest.raises(HarnessError, match=words):
        train(model, steps, loss, sgd(model))


def test_terms_may_come_by_name(tiny, tokens, encode):
    def by_name(model, batch):
        return dict(named(model, batch))

    weights = []
    for loss in (named, by_name):
        model = tiny()
        train(model, forget_steps(tokens, encode("forget"), encode("retain"), 4, 2, 0), loss, sgd(model))
        weights.append(snapshot(model))
    assert_bitwise(*weights)
