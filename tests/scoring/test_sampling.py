"""What is sampled is distributed as the model says, and depends on the seed alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from harness.core.types import Generate, Prompt
from harness.scoring.sampling import sample, uniforms
from harness.scoring.scorer import Scorer


@pytest.fixture(scope="module")
def prompts(toy_splits):
    """Questions of four lengths."""
    facts = [*toy_splits["forget"][:4], *toy_splits["retain"][:4], *toy_splits["instruct"][:4]]
    return [*(Prompt(fact.question) for fact in facts), Prompt("Oslo ?")]


def test_a_seed_draws_the_same_again_and_another_seed_something_else(model, tokens, prompts):
    first = sample(model, tokens, prompts, 3, 5, seed=7)
    torch.manual_seed(1)
    torch.rand(3)
    assert sample(model, tokens, prompts, 3, 5, seed=7) == first
    assert sample(model, tokens, prompts, 3, 5, seed=8) != first
    assert [len(answers) for answers in first] == [3] * len(prompts)
    assert len(set(first[0])) > 1


def test_each_prompt_has_random_numbers_of_its_own(prompts):
    streams = {tuple(uniforms(0, prompt, 2, 3).flatten().tolist()) for prompt in prompts}
    assert len(streams) == len(prompts)
    assert all(0 <= u < 1 for stream in streams for u in stream)


def test_drawing_leaves_the_global_random_state_alone(model, tokens, prompts):
    before = torch.get_rng_state()
    sample(model, tokens, prompts[:2], 2, 3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_what_is_drawn_does_not_depend_on_what_else_is_asked(family, tiny, tokens, prompts):
    model = tiny(family).double()
    together = sample(model, tokens, prompts, 3, 5, seed=0)
    assert [sample(model, tokens, [p], 3, 5, seed=0)[0] for p in prompts] == together
    turned = sample(model, tokens, prompts[::-1], 3, 5, seed=0)
    assert turned[::-1] == together
    assert sample(model, tokens, prompts, 3, 5, seed=0, max_tokens=1) == together
    assert sample(model, tokens, prompts, 3, 5, seed=0, max_tokens=40) == together


def test_an_answer_is_drawn_from_what_the_model_says_behind_what_is_written(model, tokens, prompts):
    """Each token is where the cumulative distribution of a plain forward pass meets its random number."""
    for prompt, answers in zip(prompts[:4], sample(model, tokens, prompts[:4], 4, 5, 3), strict=True):
        [(head, _)] = tokens.encode([(prompt, "")])
        for numbers, answer in zip(uniforms(3, prompt, 4, 5).tolist(), answers, strict=True):
            for i, u in enumerate(numbers[: len(answer) + 1]):
                pi = model(torch.tensor([[*head, *answer[:i]]])).logits[0, -1].softmax(dim=-1)
                token = answer[i] if i < len(answer) else tokens.end
                assert pi[:token].sum() - 1e-6 <= u <= pi[: token + 1].sum() + 1e-6


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_are_distributed_as_the_model_says(temperature, model, tokens, prompts):
    n = 20_000
    [answers] = sample(model, tokens, prompts[:1], n, 1, seed=0, temperature=temperature)
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
    free = sample(model, tokens, prompts, 4, 6, seed=0)
    common = Counter(token for answers in free for answer in answers for token in answer[1:])
    stop = common.most_common(1)[0][0]
    model.generation_config.eos_token_id = [tokens.end, stop]
    cut = sample(model, tokens, prompts, 4, 6, seed=0)
    expected = [
        [answer[: answer.index(stop)] if stop in answer else answer for answer in answers] for answers in free
    ]
    assert cut == expected
    assert cut != free


def test_an_answer_is_no_longer_than_asked(model, tokens, prompts):
    for most in (1, 2, 6):
        answers = sample(model, tokens, prompts, 5, most, seed=0)
        assert max(len(answer) for each in answers for answer in each) == most


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_near_no_temperature_every_sample_is_the_greedy_answer(family, tiny, tokens, prompts):
    model = tiny(family).double()
    greedy = Scorer(model, tokens).answer([Generate(prompt, 5) for prompt in prompts])
    for prompt, answers in zip(
        prompts, sample(model, tokens, prompts, 2, 5, 0, temperature=1e-6), strict=True
    ):
        assert [tokens.decode(answer) for answer in answers] == [greedy[Generate(prompt, 5)]] * 2
