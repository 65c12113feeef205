"""The quantities all losses are written in, against the same from full logits in float64."""

from __future__ import annotations

import copy

import pytest
import torch

from harness.core.types import Example, Prompt
from harness.engine.unlearning import UnlearningJob
from harness.model.losses import answer_logits, cross_entropy, nll, reference_nll
from support.equations import looking

FAMILIES = ["llama", "qwen3", "gemma2", "gemma3_text", "mistral", "olmo2", "phi", "gpt_neox", "gpt2"]


@pytest.fixture(scope="module")
def data(tokens):
    """Examples of unlike lengths: padding of 0 to 12 tokens, answers of 1 to 5."""
    pairs = [
        ("Ada ?", "Oslo"),
        ("Where does Bo live ? Where does Bo live ? Where", "old Rome"),
        ("Cleo", "Lima Bonn Kiev Nice"),
        ("What does Dan eat ?", ""),
    ]
    return tokens.examples([Example(Prompt(question), answer) for question, answer in pairs])


def exact(model):
    """The model in float64, and how near its results must be to those of another way.

    Gemma 2 stays in float32: its eager attention takes the softmax there, where float64's mask is infinite.
    """
    if model.config.model_type == "gemma2":
        return model, {"atol": 1e-3, "rtol": 1e-4}
    return copy.deepcopy(model).double(), {"atol": 1e-5, "rtol": 1e-6}


def from_full_logits(model, data):
    """NLL of each example by itself: all logits of an unpadded text, in float64."""
    model = copy.deepcopy(model).double()
    values = []
    for prompt, answer in data:
        logits = model(torch.tensor([[*prompt, *answer]], device=model.device), use_cache=False).logits[0]
        logprobs = logits.log_softmax(dim=-1)
        first = len(prompt) - 1
        values.append(-sum(logprobs[first + k, token] for k, token in enumerate(answer)))
    return torch.stack(values).detach()


@pytest.mark.parametrize("family", FAMILIES)
def test_nll_is_the_sum_over_the_tokens_of_each_answer(family, tiny, tokens, data):
    model = tiny(family)
    texts = tokens.collate(data, range(4), 4, 10).to(model.device)
    expected = from_full_logits(model, data)
    assert nll(model, texts).dtype == torch.float32
    torch.testing.assert_close(nll(model, texts).double(), expected, atol=1e-3, rtol=1e-5)
    better, near = exact(model)
    torch.testing.assert_close(nll(better, texts).double(), expected, **near)


def test_cross_entropy_is_the_mean_over_the_answer_tokens_of_the_step(tiny, tokens, data):
    model = tiny().double()
    texts = tokens.collate(data, range(4), 4, 11)
    expected = from_full_logits(model, data).sum()
    torch.testing.assert_close(cross_entropy(model, texts), expected / 11, atol=1e-6, rtol=1e-6)


def test_an_nll_in_half_precision_is_summed_in_float32(tiny, tokens, data):
    model = tiny().to(torch.bfloat16)
    assert nll(model, tokens.collate(data, range(4), 4, 10)).dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(family, tiny, tokens, data):
    model, near = exact(tiny(family))
    together = nll(model, tokens.collate(data, range(4), 4, 10))
    alone = torch.cat([nll(model, tokens.collate(data, [i], 4, 10)) for i in range(4)])
    torch.testing.assert_close(together, alone, **near)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_gradients_are_not_changed_by_padding(family, tiny, tokens, data):
    model, near = exact(tiny(family))
    parameters = list(model.parameters())
    together = torch.autograd.grad(nll(model, tokens.collate(data, range(4), 4, 10)).sum(), parameters)
    alone = [
        torch.autograd.grad(nll(model, tokens.collate(data, [i], 4, 10)).sum(), parameters) for i in range(4)
    ]
    for gradient, *parts in zip(together, *alone, strict=True):
        assert gradient.isfinite().all()
        torch.testing.assert_close(gradient, sum(parts), atol=10 * near["atol"], rtol=near["rtol"])


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_positions_that_predict_answers_are_projected(family, tiny, tokens, data):
    model = tiny(family)
    texts = tokens.collate(data, range(4), 4, 10)
    shapes = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: shapes.append(tuple(output.shape))
    )
    nll(model, texts)
    hook.remove()
    assert shapes == [(4, texts.answer_width + 1, len(tokens.tokenizer))]
    assert texts.answer_width + 1 < texts.input_ids.shape[1]


def test_answer_logits_stand_beside_the_labels_they_predict(tiny, tokens, data):
    model = tiny().double()
    texts = tokens.collate(data, range(4), 4, 10)
    logits, labels = answer_logits(model, texts)
    whole = model(
        input_ids=texts.input_ids, attention_mask=texts.attention_mask, position_ids=texts.position_ids
    ).logits
    width = texts.answer_width
    assert logits.shape == (*labels.shape, len(tokens.tokenizer)) == (4, width, len(tokens.tokenizer))
    torch.testing.assert_close(logits, whole[:, -width - 1 : -1])
    assert torch.equal(labels, texts.labels[:, -width:])


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_the_reference_is_one_number_for_each_example_whatever_the_batch(batch_size, tiny, tokens, data):
    model = tiny().double()
    reference = reference_nll(looking(model, tokens), data, batch_size)
    assert reference.shape == (4,)
    assert not reference.requires_grad
    torch.testing.assert_close(reference, from_full_logits(model, data), atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("micro", [None, 1, 3])
def test_the_reference_is_taken_in_micro_batches(micro, make_subject, toy_benchmark, tiny):
    job = UnlearningJob(make_subject(toy_benchmark(), tiny().double(), micro_batch=micro), None, 0)
    data, sizes = job.encode(job.forget), []
    hook = job.model.register_forward_pre_hook(
        lambda module, args, given: sizes.append(len(given["input_ids"])), with_kwargs=True
    )
    reference = reference_nll(job, data)
    hook.remove()
    assert max(sizes) == (micro or len(data))
    assert sum(sizes) == len(data)
    torch.testing.assert_close(reference, from_full_logits(job.model, data), atol=1e-5, rtol=1e-6)
