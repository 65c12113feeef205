"""BS-T, BS-S and the sampling they need: their equations, their limits, and whose samples are whose."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from harness.methods.bss import BSS
from harness.methods.bst import BST
from harness.methods.ga import GradientAscent
from harness.methods.gd import GradientDifference

from harness import models
from harness.run import Unlearning
from harness.score import Scorer
from harness.train import forget_steps
from harness.types import Generate, Prompt
from support.equations import (
    assert_loss_and_gradient,
    differing,
    flat,
    gradients,
    loss_of,
    mean_loss,
    moved,
    run,
    settings,
)
from support.families import LINEAR

N = 4


def beliefs(model, examples, belief, k):
    """Sum over answer tokens of <t_i, log pi>, and their number; t_i as the paper writes it."""
    total, count = 0.0, 0
    for prompt, answer in examples:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0]
        for i, token in enumerate(answer):
            logprobs = logits[len(prompt) - 1 + i].log_softmax(dim=-1)
            pi = logprobs.detach().exp()
            order = sorted(range(len(pi)), key=lambda v: float(-pi[v]))[:k]
            t = torch.zeros_like(pi)
            for v in order:
                t[v] = belief * pi[v] / sum(pi[w] for w in order)
            t[token] += 1 - belief
            total = total + (t * logprobs).sum()
            count += 1
    return total, count


def belief(model, examples, share, k):
    total, count = beliefs(model, examples, share, k)
    return total / count


# BS-T.


@pytest.mark.parametrize(
    ("share", "k", "alpha"), [(0.2, 20, 1.0), (0.2, 1, 1.0), (0.7, 3, 2.0), (1.0, 5, 0.0), (0.0, 20, 1.0)]
)
def test_bst_is_its_equation(share, k, alpha, model, batch, data):
    method = BST(BST.Config(lambda_=share, k=k, alpha=alpha))
    expected = belief(model, data[0], share, k) + alpha * mean_loss(model, data[1])
    assert_loss_and_gradient(model, loss_of(method, model, batch), expected)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("micro", [None, 3])
@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_bst_without_belief_is_gradient_difference_bit_for_bit(
    family, micro, alpha, tiny, make_subject, toy_benchmark
):
    gd = GradientDifference(settings(GradientDifference, alpha=alpha))
    bst = BST(settings(BST, lambda_=0.0, alpha=alpha))
    left, right = (run(m, make_subject, toy_benchmark, tiny(family), micro) for m in (gd, bst))
    assert differing(left, right) == []
    assert differing(left, models.snapshot(tiny(family))) != []


def test_bst_with_belief_is_not_gradient_difference(tiny, make_subject, toy_benchmark):
    gd, bst = (run(m(settings(m)), make_subject, toy_benchmark, tiny()) for m in (GradientDifference, BST))
    assert differing(gd, bst) != []


@pytest.mark.parametrize("beyond", [0, 1000])
def test_bst_of_all_belief_in_all_words_is_the_entropy_with_q_held(beyond, model, batch, data):
    words = model.config.vocab_size
    method = BST(BST.Config(lambda_=1.0, k=words + beyond, alpha=0.0))
    held, entropy, count = 0.0, 0.0, 0
    for prompt, answer in data[0]:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(dim=-1)
        held = held + (logprobs.detach().exp() * logprobs).sum()
        entropy = entropy - (logprobs.exp() * logprobs).sum().item()
        count += len(answer)
    loss = loss_of(method, model, batch)
    assert loss.item() == pytest.approx(-entropy / count, rel=1e-5)
    # sum_v q_v grad log pi_v is 0 where q is pi: what the model believes is where it stays.
    assert flat(gradients(model, held / count)).norm() < 1e-10
    assert flat(gradients(model, loss)).norm() < 1e-4


def test_the_gradient_of_a_belief_in_some_words_raises_the_others(model, batch, data):
    """d<q, log pi>/dlogits = q - pi: descent lowers the words believed in by what they have too much."""
    k = 3
    method = BST(BST.Config(lambda_=1.0, k=k, alpha=0.0))
    seen = []

    def keep(module, args, output):
        output.retain_grad()
        seen.append(output)

    handle = model.lm_head.register_forward_hook(keep)
    loss_of(method, model, batch).backward()
    handle.remove()
    gradient, logits = seen[0].grad, seen[0].detach()
    answers = batch.forget.labels[:, -batch.forget.answer_width :] != -100
    pi = logits[:, -batch.forget.answer_width - 1 : -1][answers].softmax(dim=-1)
    found = gradient[:, -batch.forget.answer_width - 1 : -1][answers] * batch.forget.tokens
    top = pi.topk(k)
    q = torch.zeros_like(pi).scatter(1, top.indices, top.values / top.values.sum(dim=1, keepdim=True))
    torch.testing.assert_close(found, q - pi, atol=1e-6, rtol=1e-5)


def test_bst_and_bss_take_lambda_by_its_name():
    assert BST.Config.model_validate({"lambda": 0.5}).lambda_ == 0.5
    assert BSS.Config.model_validate({"lambda": 0.25}).lambda_ == 0.25


# BS-S.


def sampled(job, epoch=0, **config):
    """BS-S with samples drawn by the job's model."""
    method = BSS(BSS.Config(**({"max_new_tokens": 3} | config)))
    method.new_epoch(job, epoch)
    return method


@pytest.mark.parametrize(
    ("base", "share", "alpha"), [("bst", 0.5, 1.0), ("bst", 1.0, 0.0), ("ga", 0.3, 2.0), ("ga", 1.0, 1.0)]
)
def test_bss_is_its_equation(base, share, alpha, job, batch, data):
    subject = job.subject
    subject.splits = type(subject.splits)({"forget": job.forget[:N], "retain": job.retain})
    method = sampled(job, lambda_=share, base=base, alpha=alpha, belief=0.4, k=5)
    now = moved(job.model)
    own = 0.4 if base == "bst" else 0.0
    drawn = [sample for samples in method.samples for sample in samples]
    expected = (1 - share) * belief(now, data[0], own, 5) + share * belief(now, drawn, own, 5)
    expected = expected + alpha * mean_loss(now, data[1])
    assert_loss_and_gradient(now, loss_of(method, now, batch), expected)


@pytest.mark.parametrize("base", ["bst", "ga"])
@pytest.mark.parametrize("micro", [None, 3])
def test_bss_without_samples_is_its_base_bit_for_bit(base, micro, tiny, make_subject, toy_benchmark):
    plain = BST(settings(BST)) if base == "bst" else GradientDifference(settings(GradientDifference))
    bss = BSS(settings(BSS, lambda_=0.0, base=base, max_new_tokens=2))
    left, right = (run(m, make_subject, toy_benchmark, tiny(), micro) for m in (plain, bss))
    assert differing(left, right) == []


def test_bss_of_gradient_ascent_without_retain_is_gradient_ascent(job, batch):
    method = sampled(job, lambda_=0.0, base="ga", alpha=0.0)
    left = flat(gradients(job.model, loss_of(method, job.model, batch)))
    right = flat(gradients(job.model, loss_of(GradientAscent(), job.model, batch)))
    assert (left - right).norm() <= 1e-6 * right.norm()


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("make", [BST, BSS])
def test_micro_batches_add_up_to_the_step(make, micro, job, data):
    job.model.generation_config.eos_token_id = list(range(0, 250, 3))  # so that answers end early
    method = sampled(job) if make is BSS else BST()
    now = moved(job.model)
    [[whole]] = forget_steps(job.tokens, *data, N, 1, seed=0)
    [parts] = forget_steps(job.tokens, *data, N, 1, seed=0, micro=micro)
    assert len(parts) > 1
    if make is BSS:
        assert len({sum(len(answer) for _, answer in samples) for samples in method.samples[:N]}) > 1
    expected = flat(gradients(now, loss_of(method, now, whole)))
    found = sum(flat(gradients(now, loss_of(method, now, part))) for part in parts)
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_each_fact_has_samples_of_its_own(job):
    method = sampled(job, n=3)
    assert len(method.samples) == len(job.forget)
    for (prompt, _), samples in zip(job.subject.encode(job.forget), method.samples, strict=True):
        assert len(samples) == 3
        assert {head for head, _ in samples} == {prompt}
        # Cut off at the third token, or ended before it.
        assert all(len(answer) <= 3 for _, answer in samples)
        assert all((answer[-1] == job.tokens.end) or len(answer) == 3 for _, answer in samples)
        assert all(job.tokens.end not in answer[:-1] for _, answer in samples)
    assert len({answer for samples in method.samples for _, answer in samples}) > len(job.forget)


@pytest.mark.parametrize("chosen", [[0], [5], [7, 2], [3, 11, 0], list(range(12))])
def test_a_batch_learns_from_the_samples_of_its_own_facts_alone(chosen, job):
    method = sampled(job, n=2)
    forget, retain = job.subject.encode(job.forget), job.subject.encode(job.retain)
    size = (len(chosen), sum(len(forget[i][1]) for i in chosen))
    texts, kept = (job.tokens.collate(examples, chosen, *size) for examples in (forget, retain))
    seen = []

    def watched(**kwargs):
        for ids, mask in zip(kwargs["input_ids"], kwargs["attention_mask"], strict=True):
            seen.append(tuple(ids[mask.bool()].tolist()))
        return job.model(**kwargs)

    batch = type("Batch", (), {"forget": texts, "retain": kept})()
    loss_of(method, watched, batch)
    samples = [(*head, *answer) for i in chosen for head, answer in method.samples[i]]
    true = [(*forget[i][0], *forget[i][1]) for i in chosen]
    rest = [(*retain[i][0], *retain[i][1]) for i in chosen]
    assert Counter(seen) == Counter([*samples, *true, *rest])


def drawn_at(epochs, job, **config):
    """The samples in use in each epoch."""
    method = BSS(BSS.Config(max_new_tokens=3, **config))
    found = []
    for epoch in range(epochs):
        method.new_epoch(job, epoch)
        found.append(copy.deepcopy(method.samples))
    return found


def test_off_policy_draws_once(job):
    found = drawn_at(7, job, policy="off", resample=1)
    assert all(samples == found[0] for samples in found)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_on_policy_draws_anew_every_so_many_epochs(every, job):
    found = drawn_at(7, job, policy="on", resample=every)
    for epoch in range(1, 7):
        assert (found[epoch] != found[epoch - 1]) == (epoch % every == 0)


def test_what_is_drawn_depends_on_the_seed_alone(make_subject, toy_benchmark, model):
    def of_seed(seed):
        return drawn_at(5, Unlearning(make_subject(toy_benchmark(), model), None, seed), resample=1)

    assert of_seed(0) == of_seed(0)
    every = [str(samples) for seed in range(4) for samples in of_seed(seed)]
    assert len(set(every)) == len(every)  # no seed goes where another one was an epoch earlier


def test_on_policy_follows_the_model_and_off_policy_does_not(job, tiny):
    other = tiny(seed=5).double()
    found = {}
    for policy in ("on", "off"):
        method = BSS(BSS.Config(policy=policy, max_new_tokens=3))
        method.new_epoch(job, 0)
        before = method.samples
        own, job.subject.model = job.subject.model, other
        method.new_epoch(job, 2)
        job.subject.model = own
        found[policy] = (before, method.samples)
    assert found["off"][0] == found["off"][1]
    assert found["on"][0] != found["on"][1]


def test_bss_draws_again_where_a_rate_starts(tiny, make_subject, toy_benchmark):
    one, two = (
        BSS(settings(BSS, max_new_tokens=2).model_copy(update={"learning_rates": grid}))
        for grid in ((1e-3,), (1e-4, 1e-3))
    )
    left, right = (run(method, make_subject, toy_benchmark, tiny()) for method in (one, two))
    assert differing(left, right) == []


@pytest.mark.parametrize("family", LINEAR)
@pytest.mark.parametrize(("make", "more"), [(BST, {}), (BSS, {"max_new_tokens": 3})])
def test_two_steps_in_any_family_stay_finite(make, more, family, tiny, make_subject, toy_benchmark):
    method = make(settings(make, epochs=1, batch_size=6, **more))
    after = run(method, make_subject, toy_benchmark, tiny(family))
    assert all(value.isfinite().all() for value in after.values())
    assert differing(after, models.snapshot(tiny(family))) != []


# Sampling.


@pytest.fixture(scope="module")
def prompts(toy_splits):
    """Questions of four lengths."""
    facts = [*toy_splits["forget"][:4], *toy_splits["retain"][:4], *toy_splits["instruct"][:4]]
    return [*(Prompt(fact.question) for fact in facts), Prompt("Oslo ?")]


def test_a_seed_draws_the_same_again_and_another_seed_something_else(model, tokens, prompts):
    scorer = Scorer(model, tokens)
    first = scorer.draw(prompts, 3, 5, seed=7)
    torch.manual_seed(1)
    torch.rand(3)
    assert scorer.draw(prompts, 3, 5, seed=7) == first
    assert scorer.draw(prompts, 3, 5, seed=8) != first
    assert [len(answers) for answers in first] == [3] * len(prompts)
    assert len(set(first[0])) > 1


def test_each_prompt_has_random_numbers_of_its_own(prompts):
    from harness.score import uniforms

    streams = {tuple(uniforms(0, prompt, 2, 3).flatten().tolist()) for prompt in prompts}
    assert len(streams) == len(prompts)
    assert all(0 <= u < 1 for stream in streams for u in stream)


def test_drawing_leaves_the_global_random_state_alone(model, tokens, prompts):
    before = torch.get_rng_state()
    Scorer(model, tokens).draw(prompts[:2], 2, 3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_what_is_drawn_does_not_depend_on_what_else_is_asked(family, tiny, tokens, prompts):
    model = tiny(family).double()
    together = Scorer(model, tokens).draw(prompts, 3, 5, seed=0)
    assert [Scorer(model, tokens).draw([p], 3, 5, seed=0)[0] for p in prompts] == together
    turned = Scorer(model, tokens).draw(prompts[::-1], 3, 5, seed=0)
    assert turned[::-1] == together
    assert Scorer(model, tokens, max_tokens=1).draw(prompts, 3, 5, seed=0) == together
    assert Scorer(model, tokens, max_tokens=40).draw(prompts, 3, 5, seed=0) == together


def test_an_answer_is_drawn_from_what_the_model_says_behind_what_is_written(model, tokens, prompts):
    """Each token is where the cumulative distribution of a plain forward pass meets its random number."""
    from harness.score import uniforms

    for prompt, answers in zip(prompts[:4], Scorer(model, tokens).draw(prompts[:4], 4, 5, 3), strict=True):
        [(head, _)] = tokens.encode([(prompt, "")])
        for numbers, answer in zip(uniforms(3, prompt, 4, 5).tolist(), answers, strict=True):
            for i, u in enumerate(numbers[: len(answer) + 1]):
                pi = model(torch.tensor([[*head, *answer[:i]]])).logits[0, -1].softmax(dim=-1)
                token = answer[i] if i < len(answer) else tokens.end
                assert pi[:token].sum() - 1e-6 <= u <= pi[: token + 1].sum() + 1e-6


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_are_distributed_as_the_model_says(temperature, model, tokens, prompts):
    n = 20_000
    scorer = Scorer(model, tokens)
    [answers] = scorer.draw(prompts[:1], n, 1, seed=0, temperature=temperature)
    [(head, _)] = tokens.encode([(prompts[0], "")])
    pi = (model(torch.tensor([head])).logits[0, -1] / temperature).softmax(dim=-1)
    found = torch.zeros_like(pi)
    for answer in answers:
        found[answer[0] if answer else tokens.end] += 1
    often = pi * n >= 5
    cells = torch.cat([pi[often], pi[~often].sum()[None]]) * n
    counts = torch.cat([found[often], found[~often].sum()[None]])
    cells, counts = cells[cells > 0], counts[cells > 0]
    statistic = ((counts - cells) ** 2 / cells).sum().item()
    freedom = len(cells) - 1
    assert freedom > 5
    # Wilson and Hilferty: the cube root of chi-square over its freedom is near normal; one in a million.
    normal = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)) ** 0.5
    assert abs(normal) < 4.8


def test_an_answer_stops_at_an_end_token_and_does_not_hold_it(tiny, tokens, prompts):
    model = tiny().double()
    scorer = Scorer(model, tokens)
    free = scorer.draw(prompts, 4, 6, seed=0)
    common = Counter(token for answers in free for answer in answers for token in answer[1:])
    stop = common.most_common(1)[0][0]
    model.generation_config.eos_token_id = [tokens.end, stop]
    cut = Scorer(model, tokens).draw(prompts, 4, 6, seed=0)
    expected = [
        [answer[: answer.index(stop)] if stop in answer else answer for answer in answers] for answers in free
    ]
    assert cut == expected
    assert cut != free


def test_an_answer_is_no_longer_than_asked(model, tokens, prompts):
    for most in (1, 2, 6):
        answers = Scorer(model, tokens).draw(prompts, 5, most, seed=0)
        assert max(len(answer) for each in answers for answer in each) == most


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_near_no_temperature_every_sample_is_the_greedy_answer(family, tiny, tokens, prompts):
    scorer = Scorer(tiny(family).double(), tokens)
    greedy = scorer.answer([Generate(prompt, 5) for prompt in prompts])
    for prompt, answers in zip(prompts, scorer.draw(prompts, 2, 5, 0, temperature=1e-6), strict=True):
        assert [tokens.decode(answer) for answer in answers] == [greedy[Generate(prompt, 5)]] * 2
