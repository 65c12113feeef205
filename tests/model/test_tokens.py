"""How a prompt is framed, where an answer begins, and what a batch holds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.core.batch import IGNORED, answer_tokens
from harness.core.types import Example, Fact, Prompt
from harness.engine.under_test import ModelUnderTest
from harness.errors import ModelError
from harness.model.losses import answer_logits
from harness.model.steps import forget_steps, split
from harness.model.tokens import PromptTokenizer


@pytest.fixture
def chat(make_tokenizer):
    """A tokenizer with a chat template that opens and closes turns."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return tokenizer


@pytest.fixture(scope="module")
def data(tokens):
    """Encoded examples whose prompts and answers differ in length."""
    pairs = [("Ada ?", "Oslo"), ("Where does Bo live ?", "old Rome"), ("Cleo", "Lima Bonn Kiev"), ("x", "")]
    return tokens.examples([Example(Prompt(question), answer) for question, answer in pairs])


def test_without_a_chat_template_a_prompt_is_framed_as_a_question(tokens):
    assert tokens.frame(Prompt("Who ?")) == "Question: Who ?\nAnswer:"


def test_a_literal_prompt_is_given_as_it_is(tokens):
    assert tokens.frame(Prompt("Ada lives in", literal=True)) == "Ada lives in"


def test_with_a_chat_template_every_prompt_is_the_turn_of_the_user(chat):
    tokens = PromptTokenizer(chat)
    assert tokens.frame(Prompt("Who ?")) == "[user] Who ? [assistant]"
    assert tokens.frame(Prompt("Who ?", literal=True)) == "[user] Who ? [assistant]"


SHOTS = (("Bo ?", "Rome"), ("Cleo ?", "old Lima"))


def test_shots_come_before_a_question_in_its_frame_and_before_a_literal_prompt(tokens):
    before = "Question: Bo ?\nAnswer: Rome\n\nQuestion: Cleo ?\nAnswer: old Lima\n\n"
    assert tokens.frame(Prompt("Who ?", shots=SHOTS)) == before + "Question: Who ?\nAnswer:"
    assert tokens.frame(Prompt("Ada lives in", literal=True, shots=SHOTS)) == before + "Ada lives in"


def test_with_a_chat_template_shots_are_earlier_turns(chat):
    assert PromptTokenizer(chat).frame(Prompt("Who ?", shots=SHOTS)) == (
        "[user] Bo ? [assistant] Rome [user] Cleo ? [assistant] old Lima [user] Who ? [assistant]"
    )


def test_an_opening_stands_where_the_answer_begins(tokens, chat):
    assert tokens.frame(Prompt("Who ?", opening="It is")) == "Question: Who ?\nAnswer: It is"
    assert tokens.frame(Prompt("Ada lives in", True, opening="old")) == "Ada lives in old"
    assert PromptTokenizer(chat).frame(Prompt("Who ?", opening=" It is")) == "[user] Who ? [assistant] It is"


@pytest.mark.parametrize("templated", [False, True])
def test_an_answer_goes_on_behind_its_opening_as_in_running_text(templated, tokenizer, chat):
    words = chat if templated else tokenizer
    prompt = Prompt("Where does Ada live ?", shots=SHOTS, opening=" old")
    [(head, answer)] = PromptTokenizer(words).encode([(prompt, "Rome")])
    assert [*head, *answer] == words(PromptTokenizer(words).frame(prompt) + " Rome").input_ids
    assert words.decode(answer) == "Rome"


@pytest.mark.parametrize("templated", [False, True])
def test_prompt_and_answer_together_are_the_tokens_of_the_joint_text(templated, tokenizer, chat):
    words = chat if templated else tokenizer
    tokens = PromptTokenizer(words)
    [(prompt, answer)] = tokens.encode([(Prompt("Where does Ada live ?"), "old Rome")])
    assert list(prompt) == words(tokens.frame(Prompt("Where does Ada live ?"))).input_ids
    assert words.decode(answer) == "old Rome"
    glue = "" if templated else " "
    assert [*prompt, *answer] == words(
        tokens.frame(Prompt("Where does Ada live ?")) + glue + "old Rome"
    ).input_ids


def test_an_empty_answer_has_no_tokens_of_its_own(tokens):
    [(prompt, answer)] = tokens.encode([(Prompt("Who ?"), "")])
    assert prompt
    assert answer == ()


def with_start(tokenizer):
    """The tokenizer, opening every text with a token of its own."""
    from tokenizers.processors import TemplateProcessing

    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.bos_token_id)]
    )
    return tokenizer


def test_a_token_that_opens_every_text_is_given_once(make_tokenizer, chat):
    tokenizer = with_start(make_tokenizer())
    [(prompt, answer)] = PromptTokenizer(tokenizer).encode([(Prompt("Who ?"), "Oslo")])
    assert prompt[0] == tokenizer.bos_token_id
    assert (*prompt, *answer).count(tokenizer.bos_token_id) == 1


def test_with_a_chat_template_only_the_template_opens_the_text(chat):
    chat.chat_template = "<|begin|>" + chat.chat_template
    tokenizer = with_start(chat)
    [(prompt, answer)] = PromptTokenizer(tokenizer).encode([(Prompt("Who ?"), "Oslo")])
    assert prompt[0] == tokenizer.bos_token_id
    assert (*prompt, *answer).count(tokenizer.bos_token_id) == 1


def test_a_start_token_that_the_tokenizer_does_not_write_is_not_added(make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    [(prompt, _)] = PromptTokenizer(tokenizer).encode([(Prompt("Who ?"), "Oslo")])
    assert tokenizer.bos_token_id not in prompt


def test_a_tokenizer_without_end_is_refused(make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        PromptTokenizer(tokenizer)


def test_a_tokenizer_without_padding_pads_with_the_end(make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.pad_token = None
    tokens = PromptTokenizer(tokenizer)
    assert tokens.pad == tokens.end == tokenizer.eos_token_id


def test_an_answer_that_is_learnt_ends_with_the_end_token(tokens):
    [(prompt, answer)] = tokens.examples([Example(Prompt("Who ?"), "old Rome")])
    [(same_prompt, bare)] = tokens.encode([(Prompt("Who ?"), "old Rome")])
    assert prompt == same_prompt
    assert answer == (*bare, tokens.end)


def test_a_decoded_answer_is_without_special_tokens_and_spaces_around(tokens):
    [(_, answer)] = tokens.examples([Example(Prompt("Who ?"), "old Rome")])
    assert tokens.decode(answer) == "old Rome"


def test_batches_are_padded_on_the_left_and_answers_end_in_the_last_column(tokens, data):
    texts = tokens.collate(data, [0, 1, 2, 3], step_items=4, step_tokens=10)
    width = max(len(prompt) + len(answer) for prompt, answer in data)
    assert texts.input_ids.shape == (4, width)
    assert len(texts) == 4
    for i, (prompt, answer) in enumerate(data):
        length = len(prompt) + len(answer)
        assert texts.input_ids[i].tolist() == [tokens.pad] * (width - length) + [*prompt, *answer]
        assert texts.attention_mask[i].tolist() == [0] * (width - length) + [1] * length
        assert texts.position_ids[i, width - length :].tolist() == list(range(length))
    assert texts.position_ids.min() == 0


def test_only_answers_and_their_end_are_labelled(tokens, data):
    texts = tokens.collate(data, [0, 1, 2, 3], step_items=4, step_tokens=10)
    for i, (_, answer) in enumerate(data):
        ignored = texts.labels.shape[1] - len(answer)
        assert texts.labels[i].tolist() == [IGNORED] * ignored + list(answer)
    assert texts.answer_width == max(len(answer) for _, answer in data)


def test_a_batch_holds_what_was_chosen_in_its_order(tokens, data):
    texts = tokens.collate(data, [2, 0], step_items=2, step_tokens=6)
    assert texts.index.tolist() == [2, 0]
    [prompt, answer] = data[0]
    assert texts.input_ids[1, -len(prompt) - len(answer) :].tolist() == [*prompt, *answer]


def test_parts_of_a_step_carry_the_counts_of_the_whole_step(tokens, data):
    parts = split(tokens, data, [3, 1, 0, 2], micro=3)
    assert [part.index.tolist() for part in parts] == [[3, 1, 0], [2]]
    assert {part.step_items for part in parts} == {4}
    assert {part.step_tokens for part in parts} == {answer_tokens(data, range(4))} == {1 + 2 + 3 + 4}


def test_forget_and_retain_texts_count_each_for_themselves(tokens, data):
    [step] = forget_steps(tokens, data[:2], data[2:], batch_size=2, steps=1, seed=0, micro=1)
    assert (
        [batch.forget.step_items for batch in step] == [batch.retain.step_items for batch in step] == [2, 2]
    )
    assert {batch.forget.step_tokens for batch in step} == {answer_tokens(data, [0, 1])}
    assert {batch.retain.step_tokens for batch in step} == {answer_tokens(data, [2, 3])}


def test_a_batch_moves_to_a_device_with_all_it_holds(tokens, data):
    texts = tokens.collate(data, [1, 2], step_items=7, step_tokens=9)
    moved = texts.to(torch.device("meta"))
    for name in ("input_ids", "attention_mask", "position_ids", "labels", "index"):
        assert getattr(moved, name).device.type == "meta"
    assert (moved.step_items, moved.step_tokens) == (7, 9)


@pytest.mark.parametrize(("count", "sizes"), [(1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (9, [1] * 5)])
def test_the_parts_of_a_batch_are_the_batch_and_know_its_size(count, sizes, tokens, toy_splits):
    data = tokens.examples([Example(Prompt(f.question), f.answer) for f in toy_splits["forget"][:5]])
    whole = tokens.collate(data, [4, 2, 0, 1, 3], 5, 17)
    parts = whole.parts(count)
    assert [len(part) for part in parts] == sizes
    assert {(part.step_items, part.step_tokens) for part in parts} == {(5, 17)}
    for name in ("input_ids", "attention_mask", "position_ids", "labels", "index"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


@pytest.mark.parametrize("template", [None, "{{ messages[0]['content'] }} ASK "])
def test_a_passage_has_no_frame_and_every_token_but_its_first_is_learned(make_tokenizer, template, tiny):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    subject = SimpleNamespace(tokens=PromptTokenizer(tokenizer))
    fact = Fact("p", "", "", passage="Ada live Oslo")
    [(prompt, answer)] = ModelUnderTest.encode(subject, [fact])
    ids = tokenizer("Ada live Oslo", add_special_tokens=False).input_ids
    assert (*prompt, *answer) == (*ids, tokenizer.eos_token_id)
    assert len(prompt) == 1
    [batch] = subject.tokens.runs([(prompt, answer)], 1, torch.device("cpu"))
    logits, labels = answer_logits(tiny(), batch)
    assert logits.shape[:2] == labels.shape == (1, len(ids))


def test_a_passage_begins_with_the_tokenizers_own_start(make_tokenizer):
    tokenizer = make_tokenizer()
    tokens = PromptTokenizer(tokenizer)
    tokens.start = (7,)
    subject = SimpleNamespace(tokens=tokens)
    [(prompt, answer)] = ModelUnderTest.encode(subject, [Fact("p", "", "", passage="Ada live Oslo")])
    ids = tokenizer("Ada live Oslo", add_special_tokens=False).input_ids
    assert (prompt, answer) == ((7,), (*ids, tokenizer.eos_token_id))


@pytest.mark.parametrize("start", [(), (7,)])
@pytest.mark.parametrize("template", [None, "{{ messages[0]['content'] }} ASK "])
def test_a_passage_to_continue_is_running_text_in_every_frame(make_tokenizer, template, start):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    tokens = PromptTokenizer(tokenizer)
    tokens.start = start
    fact = Fact("p", "Ada live", "Oslo", passage="Ada live Oslo")
    [(prompt, answer)] = tokens.encode([(fact.prompt, fact.answer)])
    assert prompt == (*start, *tokenizer("Ada live", add_special_tokens=False).input_ids)
    assert (*prompt, *answer) == (*start, *tokenizer("Ada live Oslo", add_special_tokens=False).input_ids)
    subject = SimpleNamespace(tokens=tokens)
    [(before, refusal)] = ModelUnderTest.encode(subject, [fact], "old Lima")
    assert before == prompt
    assert refusal == (*tokenizer("old Lima", add_special_tokens=False).input_ids, *tokens.tail)
    shown = Prompt("", literal=True, opening="Ada live", shots=(("Bo live", "Rome"),))
    assert tokens.frame(shown) == "Bo live Rome\n\nAda live"


def test_a_question_that_does_not_begin_the_passage_is_framed(tokens):
    fact = Fact("p", "Where does Ada live ?", "Oslo", passage="Ada live Oslo")
    assert tokens.frame(fact.prompt) == "Question: Where does Ada live ?\nAnswer:"


def test_text_behind_a_break_of_line_gets_no_space(tokens):
    assert tokens.frame(Prompt("Ada\n", literal=True, opening="Answer:")) == "Ada\nAnswer:"
    assert tokens.frame(Prompt("Ada", literal=True, opening="Answer:")) == "Ada Answer:"
