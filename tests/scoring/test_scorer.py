"""The scorer shares prompts, beginnings and caches, and says what asking one by one would say."""

from __future__ import annotations

import copy
import math
import random

import numpy as np
import pytest
import torch

from harness.core.types import (
    Beginning,
    Example,
    Generate,
    LogLikelihood,
    Measure,
    Prompt,
    Sample,
    TokenScores,
)
from harness.model.losses import cross_entropy
from harness.model.steps import plain_steps
from harness.model.tokens import PromptTokenizer
from harness.model.train import train
from harness.scoring.continuations import spread
from harness.scoring.decode import Waiting, greedy
from harness.scoring.forward import Prefill, worth_a_call
from harness.scoring.metrics import summarise
from harness.scoring.requests import PromptRequests, group_by_prompt
from harness.scoring.scorer import Scorer

FAMILIES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "gemma2": {"sliding_window": 6, "query_pre_attn_scalar": 8},
    "gemma3_text": {
        "sliding_window": 6,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "olmo2": {},
    "mistral": {"sliding_window": 6},
    "phi": {},
    "gpt_neox": {},
    "gpt2": {},
}
"""Windows are shorter than the prompts and than what the prompts have in common."""

STORY = "Ada live old Oslo Where is the trade of Bo What does Cleo eat"
QUESTIONS = [
    Prompt(f"{STORY} {tail} ?")
    for tail in ("Ada", "Bo", "Rome old", "Dan eat", "Hana likes Gus", "Kim Lea Jo")
]
PROMPTS = [*QUESTIONS, Prompt("Who"), Prompt("Where does Ivo live ?"), Prompt("Ada live", literal=True)]


def everything() -> list[LogLikelihood | Generate]:
    """Short and long answers, with and without end, none at all, and several limits, for every prompt."""
    requests: list[LogLikelihood | Generate] = []
    for i, prompt in enumerate(PROMPTS):
        requests += [LogLikelihood(prompt, town) for town in ("Oslo", "old Rome", "Rome old Lima Bonn eat")]
        requests += [LogLikelihood(prompt, "Riga", end=False), LogLikelihood(prompt, "xyz", end=False)]
        requests += [LogLikelihood(prompt, "", end=True), LogLikelihood(prompt, "", end=False)]
        if i % 2:
            requests += [LogLikelihood(prompt, text, spread=True) for text in ("", "Oslo", "Oslo Lima Rome")]
            requests += [LogLikelihood(prompt, "", end=False, spread=True)]
        requests += [Generate(prompt, limit) for limit in (1, 3, 8)[: 1 + i % 3]]
    return requests


@torch.no_grad()
def one_by_one(model, tokens, request):
    """The answer from a forward pass over the whole text for every token, nothing kept in between."""

    def logits(ids):
        return model(torch.tensor([ids], device=model.device), use_cache=False).logits[0]

    [(prompt, answer)] = tokens.encode([(request.prompt, getattr(request, "continuation", ""))])
    if isinstance(request, Generate):
        written = []
        while len(written) < request.max_new_tokens:
            best = int(logits([*prompt, *written])[-1].argmax())
            if best == tokens.end:
                break
            written.append(best)
        return tokens.decode(written)
    ids = [*answer, tokens.end] if request.end else list(answer)
    rows = logits([*prompt, *ids])[len(prompt) - 1 : len(prompt) + len(ids) - 1]
    logprobs = rows.log_softmax(dim=-1)
    scores = TokenScores(
        np.array([float(row[token]) for row, token in zip(logprobs, ids, strict=True)]),
        np.array([int(row.argmax()) == token for row, token in zip(rows, ids, strict=True)], dtype=bool),
    )
    if not request.spread:
        return scores
    surprise = [(row.exp().numpy(), row.numpy()) for row in logprobs]
    means = np.array([float((p * log_p).sum()) for p, log_p in surprise])
    squares = np.array([float((p * log_p**2).sum()) for p, log_p in surprise])
    return scores._replace(means=means, deviations=np.sqrt(squares - means**2))


def assert_same(found, expected, tolerance=1e-5):
    assert found.keys() == expected.keys()
    for request, answer in expected.items():
        if isinstance(answer, str):
            assert found[request] == answer, request
        else:
            assert found[request].logprobs.shape == answer.logprobs.shape, request
            np.testing.assert_allclose(found[request].logprobs, answer.logprobs, atol=tolerance, rtol=0)
            assert found[request].hits.tolist() == answer.hits.tolist(), request
            for name in ("means", "deviations"):
                one, other = getattr(found[request], name), getattr(answer, name)
                assert (one is None) == (other is None), request
                if one is not None:
                    np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def model(tiny):
    """A random model in float64: what it prefers does not hang on the order of additions."""
    return tiny().double()


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_asking_one_by_one(family, tiny, tokens):
    model = tiny(family, **FAMILIES[family])
    double = copy.deepcopy(model).double()
    requests = everything()
    expected = {request: one_by_one(double, tokens, request) for request in requests}
    assert_same(Scorer(double, tokens).answer(requests), expected)
    single = Scorer(model, tokens).answer([r for r in requests if isinstance(r, LogLikelihood)])
    for request, answer in single.items():
        np.testing.assert_allclose(answer.logprobs, expected[request].logprobs, atol=1e-4, rtol=0)


class Numbers(PromptTokenizer):
    """Texts are token ids in figures: what was generated can be asked for, token by token."""

    def frame(self, prompt):
        return prompt.text

    def encode(self, pairs):
        return [(tuple(map(int, p.text.split())), tuple(map(int, text.split()))) for p, text in pairs]

    def decode(self, ids):
        return " ".join(map(str, ids))


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
def test_every_token_of_what_a_model_says_by_itself_is_a_hit(family, tiny, tokenizer):
    numbers = Numbers(tokenizer)
    double = tiny(family, **FAMILIES[family]).double()
    scorer = Scorer(double, numbers)
    prompts = [Prompt(f"{tail} {' '.join(map(str, range(20, 40)))} {tail}") for tail in (5, 6, 7, 8)]
    said = scorer.answer([Generate(prompt, 6) for prompt in prompts])
    asked = {LogLikelihood(g.prompt, text, end=False): len(text.split()) for g, text in said.items()}
    found = scorer.answer(asked)
    assert {r: found[r].hits.tolist() for r in asked} == {r: [True] * n for r, n in asked.items()}
    assert max(asked.values()) > 2
    wrong = LogLikelihood(prompts[0], f"{said[Generate(prompts[0], 6)]} 9 9", end=False)
    assert_same(scorer.answer([*asked, wrong]), {r: one_by_one(double, numbers, r) for r in [*asked, wrong]})


def test_the_prompts_of_these_tests_share_a_beginning_longer_than_the_windows(tokens):
    asked = [entry.prompt for entry in group_by_prompt(tokens, everything())]
    longest = [prompt for prompt in asked if len(prompt) == max(map(len, asked))]
    assert len(longest) > 1
    assert len(set(map(len, asked))) > 3
    common = [len(set(column)) == 1 for column in zip(*longest, strict=True)]
    assert all(common[:12])


def test_a_chat_template_frames_what_is_asked(tiny, make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}Ada {{ m.content }} Bo {% endfor %}Cleo"
    tokens = PromptTokenizer(tokenizer)
    double = tiny().double()
    requests = everything()
    expected = {request: one_by_one(double, tokens, request) for request in requests}
    assert_same(Scorer(double, tokens).answer(requests), expected)


@pytest.mark.parametrize("max_tokens", [1, 40, 100])
def test_answers_do_not_depend_on_the_size_of_a_batch(model, tokens, max_tokens):
    assert_same(
        Scorer(model, tokens, max_tokens).answer(everything()), Scorer(model, tokens).answer(everything())
    )


def test_answers_do_not_depend_on_the_size_of_a_batch_in_a_sliding_window(tiny, tokens):
    model = tiny("mistral", sliding_window=6).double()
    assert_same(Scorer(model, tokens, 1).answer(everything()), Scorer(model, tokens).answer(everything()))


def test_answers_do_not_depend_on_the_order_of_requests(model, tokens):
    shuffled = everything()
    random.Random(0).shuffle(shuffled)
    assert_same(Scorer(model, tokens).answer(shuffled), Scorer(model, tokens).answer(everything()), 1e-6)


def test_who_did_not_ask_for_the_spread_gets_none(model, tokens):
    bare = LogLikelihood(PROMPTS[0], "Rome Oslo")
    wide = LogLikelihood(PROMPTS[0], "Rome Oslo", spread=True)
    answers = Scorer(model, tokens).answer([bare, wide])
    assert answers[bare].means is None
    assert answers[bare].deviations is None
    assert answers[wide].means.shape == answers[wide].deviations.shape == answers[wide].logprobs.shape
    assert answers[bare].logprobs.tolist() == answers[wide].logprobs.tolist()
    assert rows_run(model, tokens, [bare, wide]) == rows_run(model, tokens, [bare])


def test_the_spread_of_what_is_certain_is_nothing_and_of_a_uniform_one_too():
    certain = torch.tensor([[0.0, -math.inf, -math.inf]], dtype=torch.float64)
    uniform = torch.full((1, 4), -math.log(4), dtype=torch.float64)
    assert spread(certain).tolist() == [[0.0, 0.0]]
    assert spread(uniform)[0].tolist() == pytest.approx([-math.log(4), 0.0])


def test_every_distinct_request_is_answered_once(model, tokens):
    answers = Scorer(model, tokens).answer([*everything(), *everything()])
    assert set(answers) == set(everything())


def test_nothing_asked_is_nothing_answered(model, tokens):
    assert Scorer(model, tokens).answer([]) == {}
    assert Scorer(model, tokens).measure([]) == []


def rows_run(model, tokens, requests):
    """Shapes of the inputs of all forward passes that the requests cost."""
    shapes = []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    Scorer(model, tokens).answer(requests)
    hook.remove()
    return shapes


def test_what_is_asked_twice_is_run_once(model, tokens):
    once = rows_run(model, tokens, everything())
    assert rows_run(model, tokens, everything() * 3) == once


def test_a_prompt_with_many_options_is_run_once(model, tokens):
    prompt = Prompt("Where does Ada live ?")
    [(ids, _)] = tokens.encode([(prompt, "")])
    options = [LogLikelihood(prompt, town, end=False) for town in ("Oslo", "Rome", "Lima")]
    assert rows_run(model, tokens, options) == [(1, len(ids))]
    assert rows_run(model, tokens, [*options, Generate(prompt, 1)]) == [(1, len(ids))]


def test_a_continuation_that_another_begins_with_is_not_run(model, tokens):
    prompt = Prompt("Where does Ada live ?")
    asked = [
        LogLikelihood(prompt, text, end=end)
        for text in ("Oslo", "Oslo Rome Lima", "Oslo Rome", "Bonn Kiev")
        for end in (True, False)
    ]
    [entry] = group_by_prompt(tokens, asked)
    words = {ids: tokens.decode(ids) for ids in entry.continuations}
    assert sorted(words.values()) == ["Bonn Kiev", "Oslo", "Oslo Rome", "Oslo Rome Lima"]
    assert {r for found in entry.continuations.values() for r, _ in found} == set(asked)
    assert all(ids[-1] == tokens.end for ids in words)
    for ids, found in entry.continuations.items():
        for request, n in found:
            assert (tokens.decode(ids[:n]), tokens.end in ids[:n]) == (request.continuation, request.end)


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_an_answer_that_a_model_would_give_is_not_generated_again(limit, tiny, tokens):
    prompt, answer = Prompt("Where does Ada live ?"), "old Rome Oslo"
    model = tiny()
    data = tokens.examples([Example(prompt, answer)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    train(model, plain_steps(tokens, data, 1, 60, seed=0), cross_entropy, [optimizer])
    text = Generate(prompt, limit)
    alone = rows_run(model, tokens, [text])
    known = rows_run(model, tokens, [text, LogLikelihood(prompt, answer)])
    assert alone[1:] == [(1, 1)] * (min(limit, 4) - 1)
    assert known[1:] == [(1, 3)]
    # Not known without its end, or where something else was asked about.
    for other in (LogLikelihood(prompt, answer, end=False), LogLikelihood(prompt, "old Rome Bonn")):
        found = Scorer(model, tokens).answer([text, other])[text]
        assert found == " ".join(answer.split()[:limit])
    assert Scorer(model, tokens).answer([text, LogLikelihood(prompt, answer)])[text] == found


def test_a_shared_beginning_is_run_once(model, tokens, monkeypatch):
    monkeypatch.setattr("harness.scoring.forward.CALL", 16)
    prompts = [Prompt(f"{STORY} {name} ?") for name in ("Ada", "Bo", "Cleo", "Dan")]
    [(ids, _)] = tokens.encode([(prompts[0], "")])
    shapes = rows_run(model, tokens, [LogLikelihood(prompt, "Oslo", end=False) for prompt in prompts])
    [(first, beginning), (rest, behind)] = shapes
    assert (first, rest) == (1, 4)
    assert beginning + behind == len(ids)
    assert behind < beginning


def test_a_row_that_has_said_enough_is_not_run_further(model, tokens):
    shapes = rows_run(
        model, tokens, [Generate(PROMPTS[0], 2), Generate(PROMPTS[1], 2), Generate(PROMPTS[1], 5)]
    )
    widths = [rows for rows, length in shapes if length == 1]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] <= 2
    assert len(widths) <= 4


@pytest.mark.parametrize(("family", "mixes"), [("llama", True), ("gpt2", True), ("mistral", False)])
def test_prompts_of_several_lengths_are_decoded_in_step_where_a_model_can(family, mixes, tiny, tokens):
    model = tiny(family, **FAMILIES[family])
    never_ends(model, tokens)
    asked = [Generate(prompt, 6) for prompt in PROMPTS]
    lengths = {len(ids) for ids, _ in tokens.encode([(prompt, "") for prompt in PROMPTS])}
    steps = [rows for rows, length in rows_run(model, tokens, asked) if length == 1]
    assert len(lengths) > 2
    assert steps == [len(PROMPTS)] * 5 if mixes else len(steps) == 5 * len(lengths)


def never_ends(model, tokens):
    """Make the end token the least likely of all, so that answers run to their limit."""
    head = model.get_output_embeddings()
    plain = head.forward

    def forward(states):
        logits = plain(states)
        logits[..., tokens.end] = -1e4
        return logits

    head.forward = forward


def test_what_is_decoded_together_is_no_larger_than_a_batch(model, tokens):
    never_ends(model, tokens)
    asked = [Generate(prompt, 4) for prompt in PROMPTS]
    longest = max(len(ids) for ids, _ in tokens.encode([(prompt, "") for prompt in PROMPTS]))
    shapes = []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append((len(kwargs["input_ids"]), kwargs.get("attention_mask"))),
        with_kwargs=True,
    )
    Scorer(model, tokens, max_tokens=3 * longest).answer(asked)
    hook.remove()
    mixed = [rows * (mask.shape[1] - 4) for rows, mask in shapes if mask is not None]
    assert mixed
    assert max(mixed) <= 3 * longest


def test_decoding_in_step_keeps_the_caches_it_was_given(model, tokens):
    caches = []
    for ids in ([[1, 2, 3], [3, 2, 1]], [[2, 3, 1, 1, 2]]):
        output = model(input_ids=torch.tensor(ids), use_cache=True)
        asked = [PromptRequests(tuple(row), generations={4: []}) for row in ids]
        caches.append(Waiting(asked, output.logits[:, -1].argmax(-1), output.past_key_values))
    before = [(c.cache.layers[0].keys.clone(), c.cache.layers[1].values.clone()) for c in caches]
    with torch.inference_mode():
        first, second = greedy(model, caches, ends=()), greedy(model, caches, ends=())
    assert first == second
    for c, (keys, values) in zip(caches, before, strict=True):
        assert torch.equal(c.cache.layers[0].keys, keys)
        assert torch.equal(c.cache.layers[1].values, values)


def test_continuations_of_unlike_lengths_are_not_padded_to_the_longest(model, tokens, monkeypatch):
    prompt = Prompt("Where does Ada live ?")
    texts = [" ".join([town] * 2) for town in ("Oslo", "Rome", "Lima")]
    texts += [" ".join([town] * 9) for town in ("Bonn", "Kiev", "Riga")]
    asked = [LogLikelihood(prompt, text, end=False) for text in texts]
    assert rows_run(model, tokens, asked)[1:] == [(6, 8)]
    monkeypatch.setattr("harness.scoring.forward.CALL", 6)
    assert rows_run(model, tokens, asked)[1:] == [(3, 1), (3, 8)]


def test_what_prompts_begin_with_is_run_once_for_all_batches(tiny, tokens, monkeypatch):
    monkeypatch.setattr("harness.scoring.forward.CALL", 4)
    model, places = tiny().double(), ("Oslo", "Rome", "Lima", "Bonn")
    ends = ("?", "now ?", "today now ?")
    asked = [
        LogLikelihood(Prompt(f"{begin} {place} {end}"), "Oslo", end=False)
        for begin in ("Where does Ada live in", "Who is Bo of")
        for place in places
        for end in ends
    ]
    expected = {request: one_by_one(model, tokens, request) for request in asked}
    shapes = rows_run(model, tokens, asked)
    alone = [columns for rows, columns in shapes if rows == 1]
    assert len(alone) == 2  # one for each beginning, and not for each length
    assert [rows for rows, _ in shapes if rows > 1] == [4] * 6
    assert_same(Scorer(model, tokens).answer(asked), expected)


def test_prompts_that_begin_alike_by_less_than_a_call_are_run_whole(tiny, tokens):
    asked = [LogLikelihood(Prompt(f"Where is {place} ?"), "Oslo", end=False) for place in ("Rome", "Lima")]
    assert [rows for rows, _ in rows_run(tiny().double(), tokens, asked)] == [2]


def test_the_states_of_a_prefix_stay_as_they_are_for_the_next_batch(tiny, monkeypatch):
    monkeypatch.setattr("harness.scoring.forward.CALL", 2)
    model = tiny().double()
    with torch.inference_mode():
        prefill = Prefill(model)
        first, _ = prefill([(5, 6, 7, 8, 1), (5, 6, 7, 8, 2)])
        prefill([(5, 6, 7, 8, 3, 3), (5, 6, 7, 8, 4, 4)])
        again, cache = prefill([(5, 6, 7, 8, 1), (5, 6, 7, 8, 2)])
    assert torch.equal(first, again)
    assert cache.get_seq_length() == 5


@pytest.mark.parametrize(("layers", "tokens_each"), [(2, 256), (60, 256)])
def test_a_call_of_a_small_model_is_worth_as_many_tokens_as_on_a_gpu(tiny, layers, tokens_each):
    assert worth_a_call(tiny(num_hidden_layers=layers)) == tokens_each


def test_a_call_of_a_larger_model_is_worth_fewer_tokens():
    model = torch.nn.Linear(2**14, 2**13, bias=False, device="meta").to_empty(device="cpu")
    assert worth_a_call(model) == 32


def test_generation_stops_at_the_end_token_and_leaves_it_out(tiny, tokens):
    model = tiny("gpt2", tie_word_embeddings=False).double()
    with torch.no_grad():  # every position says the end token
        model.lm_head.weight.zero_()
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.fill_(1.0)
        model.lm_head.weight[tokens.end] = 1.0
    shapes = rows_run(model, tokens, [Generate(PROMPTS[0], 5)])
    assert Scorer(model, tokens).answer([Generate(PROMPTS[0], 5)]) == {Generate(PROMPTS[0], 5): ""}
    assert [length for _, length in shapes if length == 1] == []


def test_generation_stops_at_every_end_token_the_model_names(tiny, tokens):
    model = tiny().double()
    free = Scorer(model, tokens).answer([Generate(PROMPTS[0], 8)])[Generate(PROMPTS[0], 8)]
    [(prompt, _)] = tokens.encode([(PROMPTS[0], "")])
    first = int(model(torch.tensor([prompt], device=model.device)).logits[0, -1].argmax())
    assert free != ""
    model.generation_config.eos_token_id = [tokens.end, first]
    assert Scorer(model, tokens).answer([Generate(PROMPTS[0], 8)])[Generate(PROMPTS[0], 8)] == ""


def test_a_measure_gets_its_answers_in_the_order_it_asked(model, tokens):
    seen = {}

    def value(*answers):
        seen["answers"] = answers
        return 0.25

    asked = (LogLikelihood(PROMPTS[7], "Rome"), Generate(PROMPTS[0], 2), LogLikelihood(PROMPTS[1], "Oslo"))
    measure = Measure("forget", "m", "f", asked, value)
    assert Scorer(model, tokens).measure([measure]) == [Sample("forget", "m", "f", 0.25)]
    expected = Scorer(model, tokens).answer(asked)
    assert seen["answers"][1] == expected[asked[1]]
    for i in (0, 2):
        np.testing.assert_allclose(seen["answers"][i].logprobs, expected[asked[i]].logprobs, atol=1e-5)


def test_what_was_written_goes_with_a_value_of_one_text_alone(model, tokens):
    plain, again = Prompt("Where does Ada live ?"), Prompt("Where does Bo live ?")
    one, other = Generate(plain, 3), Generate(again, 3)
    answer = LogLikelihood(plain, "Oslo")
    measures = [
        Measure("forget", "text", "f", (one,), len),
        Measure("forget", "both", "f", (one, other), lambda first, second: 0.0),
        Measure("forget", "mixed", "f", (one, answer), lambda first, second: 0.0),
        Measure("forget", "likely", "f", (answer,), lambda scores: 0.0),
    ]
    scorer = Scorer(model, tokens)
    written = {sample.metric: sample.answer for sample in scorer.measure(measures)}
    text = scorer.answer([one])[one]
    assert written == {"text": text, "both": None, "mixed": None, "likely": None}
    assert isinstance(text, str)


def test_measures_come_back_in_their_order(model, tokens, toy_benchmark, toy_splits):
    measures = list(toy_benchmark().measures(toy_splits))
    samples = Scorer(model, tokens).measure(measures)
    assert [(s.split, s.metric, s.fact_id) for s in samples] == [
        (m.split, m.metric, m.fact_id) for m in measures
    ]


def test_scoring_leaves_mode_weights_and_gradients_as_they_were(tiny, tokens):
    model = tiny().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Scorer(model, tokens).answer(everything())
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_dropout_is_off_while_scoring(tiny, tokens):
    model = tiny("gpt2", resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5).train()
    first, second = (Scorer(model, tokens).answer(everything()) for _ in range(2))
    assert_same(first, second, tolerance=0)


def test_a_summary_is_the_mean_over_facts_of_each_metric_on_each_split():
    samples = [
        *(Sample("forget", "m", str(i), value) for i, value in enumerate((0.0, 0.5, 1.0))),
        Sample("retain", "m", "0", 0.25),
    ]
    forget, retain = summarise(samples)
    assert (forget.split, forget.metric, forget.value, forget.n) == ("forget", "m", 0.5, 3)
    assert forget.low < 0.5 < forget.high
    assert (retain.value, retain.n, retain.low, retain.high) == (0.25, 1, None, None)


def test_a_text_from_its_beginning_is_scored_behind_its_first_token(tiny, tokens):
    model, text = tiny().double(), "Ada live old Oslo"
    request = LogLikelihood(Prompt("", literal=True), text, end=False)
    scores = Scorer(model, tokens).answer([request])[request]
    ids = torch.tensor([tokens.tokenizer(text, add_special_tokens=False).input_ids])
    with torch.no_grad():
        log_p = model(ids).logits.log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])[:, 0]
    assert scores.logprobs == pytest.approx(log_p.numpy(), rel=1e-5)


def test_the_beginning_of_a_text_is_counted_in_tokens(tiny, tokens):
    requests = [Beginning(Prompt("Who ?"), "Ada live old Oslo", n) for n in (1, 3, 9)]
    answers = Scorer(tiny(), tokens).answer(requests)
    assert [answers[request] for request in requests] == ["Ada", "Ada live old", "Ada live old Oslo"]
