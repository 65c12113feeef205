"""A universal suffix: the gradient's ranking, the search, and where the suffix stands."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from harness.attacks._asking import text_of, whole_words, with_suffix
from harness.attacks.gcg import UniversalSuffix, suffix_losses, word_slopes

from harness.core.types import Splits
from harness.engine.attacking import AttackJob, run_attack
from harness.errors import HarnessError
from harness.model import models
from harness.model.losses import cross_entropy
from support.attacks import small

FAMILIES = ["llama", "gpt2", "phi3", "gpt_neox"]
SHORT = {"samples": 3, "length": 3, "steps": 4, "candidates": 6, "top": 5, "checkpoints": (2,)}


@pytest.fixture
def searched(make_subject, toy_benchmark, tiny):
    """``searched(family, spread)``: a job in float64, its words, a suffix, and the texts with it.

    With a ``spread`` all words have nearly the same embedding: then the loss is linear in it.
    """

    def searched(family="llama", spread=None):
        model = tiny(family).double()
        if spread:
            weight = model.get_input_embeddings().weight
            with torch.no_grad():
                weight.copy_(weight.mean(dim=0) + 1.0 + spread * weight)
        job = AttackJob(make_subject(toy_benchmark(), model), None, 0, Splits({}), {})
        words = whole_words(job.tokens.tokenizer)
        suffix = random.Random(1).sample(sorted(words), 3)
        texts, places = with_suffix(job, job.scored[:4], suffix, words)
        return job, words, suffix, texts, places

    return searched


@torch.no_grad()
def losses_of_all(job, texts, places, suffix, words):
    """The loss with each word at each place, one text after the other: (places, words)."""
    found = torch.zeros(len(suffix), len(words), dtype=torch.float64)
    for place in range(len(suffix)):
        for (prompt, answer), at in zip(texts, places, strict=True):
            ids = torch.tensor([[*prompt, *answer]] * len(words))
            ids[:, at + place] = torch.tensor(sorted(words))
            logs = job.model(input_ids=ids).logits.double().log_softmax(dim=-1)
            for i, token in enumerate(answer):
                found[place] -= logs[:, len(prompt) + i - 1, token]
    return found.numpy() / sum(len(answer) for _, answer in texts)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])  # a Llama's norms are of float32
def test_where_the_loss_is_linear_the_gradient_ranks_words_as_trying_each_does(family, searched):
    job, words, suffix, texts, places = searched(family, spread=1e-5)
    slopes = word_slopes(job, texts, places, suffix, sorted(words)).numpy()
    tried = losses_of_all(job, texts, places, suffix, words)
    own = [sorted(words).index(token) for token in suffix]
    for place in range(3):
        promised = slopes[place] - slopes[place, own[place]]
        found = tried[place] - tried[place, own[place]]
        np.testing.assert_allclose(promised, found, atol=1e-3 * abs(found).max())
        assert (promised.argsort()[:5] == found.argsort()[:5]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_one_hot_vectors(family, searched):
    job, words, suffix, texts, places = searched(family)
    vectors = job.model.get_input_embeddings().weight.detach()
    total = torch.zeros(3, len(vectors), dtype=torch.float64)
    for (prompt, answer), at in zip(texts, places, strict=True):
        ids = torch.tensor([[*prompt, *answer]])
        one_hot = torch.nn.functional.one_hot(ids, len(vectors)).double().requires_grad_()
        logs = job.model(inputs_embeds=one_hot @ vectors).logits[0].log_softmax(dim=-1)
        predicted = logs[len(prompt) - 1 : -1].gather(1, torch.tensor(answer)[:, None])
        [gradient] = torch.autograd.grad(-predicted.sum(), [one_hot])
        total += gradient[0, at : at + 3]
    expected = total[:, sorted(words)] / sum(len(answer) for _, answer in texts)
    found = word_slopes(job, texts, places, suffix, sorted(words))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    job.subject.micro_batch = 3
    np.testing.assert_allclose(word_slopes(job, texts, places, suffix, sorted(words)), expected, atol=1e-10)
    assert all(parameter.grad is None for parameter in job.model.parameters())


def test_the_loss_of_a_suffix_is_the_mean_cross_entropy_of_the_facts_asked_with_it(searched):
    job, words, suffix, texts, places = searched()
    other = [sorted(words)[i] for i in (4, 9, 2)]
    found = suffix_losses(job, texts, places, [suffix, other])
    for tokens, value in zip((suffix, other), found.tolist(), strict=True):
        typed, _ = with_suffix(job, job.scored[:4], tokens, words)
        count = sum(len(answer) for _, answer in typed)
        whole = job.tokens.collate(typed, range(4), 4, count)
        assert value == pytest.approx(float(cross_entropy(job.model, whole).detach()), rel=1e-12)


def test_the_suffix_stands_behind_each_question_as_it_is_typed(searched):
    job, words, suffix, texts, places = searched()
    for fact, (prompt, answer), at in zip(job.scored, texts, places, strict=False):
        said = job.tokens.tokenizer.decode(prompt)
        assert f"{fact.question} {text_of(suffix, words)} Answer".replace(" ?", "?") in said
        assert list(prompt[at : at + 3]) == suffix
        assert job.tokens.decode(answer) == fact.answer


def test_the_loss_of_the_suffix_never_rises_and_one_word_changes_at_a_time(
    make_subject, toy_benchmark, tiny, monkeypatch
):
    steps = []

    def watched(job, texts, places, tried):
        found = suffix_losses(job, texts, places, tried)
        steps.append((tried, found))
        return found

    monkeypatch.setattr("harness.attacks.gcg.suffix_losses", watched)
    subject = make_subject(toy_benchmark(), tiny())
    outcome = run_attack(subject, small(UniversalSuffix, **SHORT), 0, models.snapshot(subject.model))
    kept = [float(found.min()) for _, found in steps]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < float(steps[0][1][0])  # and it falls
    for tried, _ in steps:
        assert len(tried) == 1 + SHORT["candidates"]
        assert all(sum(a != b for a, b in zip(tried[0], other, strict=True)) <= 1 for other in tried)
    words = whole_words(subject.tokens.tokenizer)
    last, found = steps[-1]
    assert outcome.notes["suffix"] == text_of(last[int(found.argmin())], words)


def test_it_is_scored_with_the_suffix_on_the_facts_it_does_not_hold(asked, make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark())
    before = models.weights_fingerprint(subject.model)
    outcome = run_attack(subject, small(UniversalSuffix, **SHORT), 0, models.snapshot(subject.model))
    curve = [(m.step, m.learning_rate) for m in outcome.metrics if m.metric == "probability"]
    assert curve[:-1] == [(0, None), (2, None), (4, None)]
    assert (outcome.notes["n_injected"], outcome.notes["n_scored"]) == (3, 9)
    assert models.weights_fingerprint(subject.model) == before
    scored = {s.fact_id for s in outcome.samples}
    questions = {fact.question for fact in subject.splits["forget"] if fact.id in scored}
    plain, *later = [{r.prompt.text for r in asked[at : at + 18]} for at in (0, 18, 36)]
    assert plain == questions
    assert later[1] == {f"{question} {outcome.notes['suffix']}" for question in questions}


def test_the_same_seed_finds_the_same_suffix_and_others_another(make_subject, toy_benchmark, tiny):
    def suffix(seed):
        subject = make_subject(toy_benchmark(), tiny())
        attack = small(UniversalSuffix, **SHORT)
        return run_attack(subject, attack, seed, models.snapshot(subject.model)).notes["suffix"]

    assert suffix(0) == suffix(0) != suffix(1)


def test_a_tokenizer_that_cuts_the_suffix_otherwise_is_refused(searched):
    job, words, suffix, _, _ = searched()
    lying = words | {suffix[0]: "nobody"}
    with pytest.raises(HarnessError, match="cuts 'nobody"):
        with_suffix(job, job.scored[:2], suffix, lying)


def test_without_a_word_it_says_so(make_subject, toy_benchmark, monkeypatch):
    monkeypatch.setattr("harness.attacks.gcg.whole_words", lambda tokenizer: {})
    subject = make_subject(toy_benchmark())
    with pytest.raises(HarnessError, match="no word of the tokenizer"):
        run_attack(subject, small(UniversalSuffix, **SHORT), 0, models.snapshot(subject.model))
