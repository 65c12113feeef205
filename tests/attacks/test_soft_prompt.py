"""Soft prompts: where they stand, their gradient, and what they learn."""

from __future__ import annotations

import pytest
import torch
from harness.attacks._asking import asking, whole_words
from harness.attacks.soft_prompt import SoftPrompt, gradient, substituted, unused_words

from harness.core.types import Generate, LogLikelihood, Prompt, Splits
from harness.engine.attacking import AttackJob, run_attack
from harness.errors import HarnessError
from harness.model import models
from harness.model.losses import nll
from support.attacks import small
from support.facts import ids

FAMILIES = ["llama", "gpt2", "phi3", "gpt_neox"]
SHORT = {"samples": 4, "length": 3, "steps": 3, "checkpoints": (2,), "learning_rates": (0.1, 0.3)}


@pytest.fixture
def soft(make_subject, toy_benchmark, tiny):
    """``soft(family)``: a job in float64, texts with two words in front, embeddings for these."""

    def soft(family="llama"):
        job = AttackJob(make_subject(toy_benchmark(), tiny(family).double()), None, 0, Splits({}), {})
        places = torch.tensor(job.tokens.tokenizer("baker sailor").input_ids)
        ids_of, end = tuple(places.tolist()), job.tokens.end
        texts = [((*ids_of, *prompt), answer) for prompt, answer in job.encode(job.scored[:5])]
        assert all(answer[-1] == end for _, answer in texts)
        embeddings = torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        return job, texts, places, embeddings.requires_grad_()

    return soft


@pytest.mark.parametrize("family", FAMILIES)
def test_the_prompt_s_embeddings_take_the_places_of_its_words_and_no_others(family, soft):
    job, _, places, embeddings = soft(family)
    embedding = job.model.get_input_embeddings()
    given = torch.tensor([[*places.tolist(), 3, 5], [7, int(places[1]), 5, int(places[0])]])
    plain = embedding(given)
    with substituted(embedding, places, embeddings):
        found = embedding(given)
    assert torch.equal(found[0, :2], embeddings)
    assert torch.equal(found[1, [3, 1]], embeddings)
    assert torch.equal(found[0, 2:], plain[0, 2:])
    assert torch.equal(found[1, [0, 2]], plain[1, [0, 2]])
    assert torch.equal(embedding(given), plain)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])  # a Llama's norms are of float32
def test_the_gradient_is_that_of_finite_differences_of_the_mean_cross_entropy(family, soft):
    job, texts, places, embeddings = soft(family)
    embedding = job.model.get_input_embeddings()
    [whole] = job.runs(texts)
    tokens = sum(len(answer) for _, answer in texts)

    @torch.no_grad()
    def loss(e):
        with substituted(embedding, places, e):
            return float(nll(job.model, whole).sum() / tokens)

    with substituted(embedding, places, embeddings):
        found = gradient(job, texts, embeddings)
    step = 1e-6
    for at in ((0, 0), (0, 7), (1, 3), (1, 15)):
        moved = torch.zeros_like(embeddings)
        moved[at] = step
        naive = (loss(embeddings + moved) - loss(embeddings - moved)) / (2 * step)
        assert float(found[at]) == pytest.approx(naive, rel=1e-5, abs=1e-9)


def test_micro_batches_do_not_change_the_gradient_and_no_weight_gets_one(soft):
    job, texts, places, embeddings = soft()
    with substituted(job.model.get_input_embeddings(), places, embeddings):
        whole = gradient(job, texts, embeddings)
        job.subject.micro_batch = 2
        parts = gradient(job, texts, embeddings)
    assert torch.allclose(whole, parts, atol=1e-12)
    assert all(parameter.grad is None for parameter in job.model.parameters())


def test_the_words_are_whole_tokens_of_no_text_that_is_asked(make_subject, toy_benchmark):
    job = AttackJob(make_subject(toy_benchmark()), None, 0, Splits({}), {})
    facts = job.scored
    words = unused_words(job, facts[:3], 5)
    assert len(words) == 5
    asked = {word for fact in facts for word in f"{fact.question} {fact.answer}".split()}
    assert not asked & set(words.values())
    assert job.tokens.tokenizer(" ".join(words.values())).input_ids == list(words)
    assert len(unused_words(job, facts[:3], 1000)) < 1000


def test_special_tokens_and_marks_are_no_words(tokenizer):
    words = whole_words(tokenizer)
    assert not set(words) & set(tokenizer.all_special_ids)
    assert {"Ada", "Oslo", "old"} <= set(words.values())
    assert not {"?", ":", "."} & set(words.values())


def test_the_question_is_changed_where_it_stands_and_other_prompts_as_a_whole(toy_splits):
    ask = asking(toy_splits["forget"], lambda question: f"Bo {question} Bo")
    within = "Choose . Where does Ada live ? Options : Oslo"
    for text, expected in (
        ("Where does Ada live ?", "Bo Where does Ada live ? Bo"),
        (within, "Choose . Bo Where does Ada live ? Bo Options : Oslo"),
        ("Who is it ?", "Bo Who is it ? Bo"),
    ):
        for request in (Generate(Prompt(text, literal=True), 4), LogLikelihood(Prompt(text), "Oslo")):
            assert ask(request).prompt.text == expected
            assert ask(request).prompt.literal == request.prompt.literal


def test_it_is_scored_on_the_facts_it_does_not_hold_at_step_0_and_its_checkpoints(
    make_subject, toy_benchmark, toy_splits
):
    subject = make_subject(toy_benchmark())
    before = models.weights_fingerprint(subject.model)
    outcome = run_attack(subject, small(SoftPrompt, **SHORT), 0, models.snapshot(subject.model))
    curve = [(m.step, m.learning_rate) for m in outcome.metrics if m.metric == "probability"]
    assert curve[:-1] == [(0, None), (2, 0.1), (3, 0.1), (2, 0.3), (3, 0.3)]
    assert (outcome.notes["n_injected"], outcome.notes["n_scored"]) == (4, 8)
    assert outcome.notes["soft_tokens"] == 3
    assert len({s.fact_id for s in outcome.samples}) == 8 < len(ids(toy_splits["forget"]))
    assert models.weights_fingerprint(subject.model) == before


def test_the_prompt_stands_behind_the_question_in_training_and_when_asked(asked, make_subject, toy_benchmark):
    subject = make_subject(toy_benchmark())
    learned = []
    encode = subject.encode
    subject.encode = lambda facts, answer=None: learned.extend(facts) or encode(facts, answer)
    outcome = run_attack(subject, small(SoftPrompt, **SHORT), 0, models.snapshot(subject.model))
    scored = {sample.fact_id for sample in outcome.samples}
    questions = {fact.question for fact in subject.splits["forget"] if fact.id in scored}
    with_it = {request.prompt.text for request in asked} - questions
    [prompt] = {text.partition("?")[2] for text in with_it}
    assert len(prompt.split()) == 3
    assert with_it == {f"{question}{prompt}" for question in questions}
    assert prompt in {fact.question.partition("?")[2] for fact in learned}


def test_it_learns_what_it_is_given(make_subject, toy_benchmark, tiny):
    """The loss of the facts held falls by half: one embedding is enough to choose among answers."""
    job = AttackJob(make_subject(toy_benchmark(), tiny(hidden_size=32)), None, 0, Splits({}), {})
    words = unused_words(job, job.scored, 4)
    places = torch.tensor(list(words))
    texts = [((*words, *prompt), answer) for prompt, answer in job.encode(job.scored[:3])]
    embedding = job.model.get_input_embeddings()
    soft = embedding(places).detach().clone().requires_grad_()
    optimizer = torch.optim.AdamW([soft], 0.1, weight_decay=0)
    [batch] = job.runs(texts)
    found = []
    with substituted(embedding, places, soft):
        for _ in range(60):
            soft.grad = gradient(job, texts, soft)
            optimizer.step()
            found.append(float(nll(job.model, batch).sum().detach()))
    assert found[-1] < 0.5 * found[0]


def test_where_every_word_is_asked_there_is_no_place(make_subject, toy_benchmark, monkeypatch):
    monkeypatch.setattr("harness.attacks.soft_prompt.whole_words", lambda tokenizer: {})
    subject = make_subject(toy_benchmark())
    with pytest.raises(HarnessError, match="occurs in the facts"):
        run_attack(subject, small(SoftPrompt, **SHORT), 0, models.snapshot(subject.model))
