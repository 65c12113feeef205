"""Frames: OpenUnlearning's token sequences, another day, and what cannot be framed."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from transformers.utils import chat_template_utils

from harness.core.frame import Frame
from harness.core.types import Example, Prompt
from harness.errors import ModelError
from harness.model.tokens import PromptTokenizer

TURNS = (
    "{% for m in messages %}<{{ m.role }}>\n{{ m.content | trim }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
"""Like Qwen's, Phi's and SmolLM2's: text stands behind the end token."""
ENDS = TURNS.replace("{{ eos_token }}\n", "{{ eos_token }}")
"""Like Llama 3's: the end token is the last."""
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + TURNS
"""Like Gemma's."""
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today {{ date_string }}\n" + ENDS
)
"""Like Llama 3.2's."""
LLAMA_2 = "{% for m in messages %}[INST] <<SYS>>{{ m.content }}<</SYS>> [/INST]{% endfor %}"
ANSWERED = Example(Prompt("Where does Bo live ?"), "old Rome")


@pytest.fixture
def framed(make_tokenizer):
    """A tokenizer with this chat template, in this frame."""

    def make(template, frame, day=date(2025, 4, 10)):
        tokenizer = make_tokenizer()
        tokenizer.chat_template = template
        return PromptTokenizer(tokenizer, Frame(frame, day))

    return make


def published(tokenizer, system, **told):
    """What OpenUnlearning makes of the example with a chat template: its prompt's ids and all ids."""
    turns = [{"role": "system", "content": "You are a helpful assistant."}] * system
    turns.append({"role": "user", "content": ANSWERED.prompt.text})
    answer = {"role": "assistant", "content": ANSWERED.answer}
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False, **told)
    whole = tokenizer.apply_chat_template([*turns, answer], return_dict=False, **told)
    if whole[-1] != tokenizer.eos_token_id:
        whole = [*whole, tokenizer.eos_token_id]
    return prompt, whole


@pytest.mark.parametrize(
    ("template", "system"), [(TURNS, True), (ENDS, True), (NO_SYSTEM, False), (DATED, True)]
)
def test_openunlearnings_sequence_is_given_token_by_token(framed, template, system):
    tokens = framed(template, "openunlearning")
    [(prompt, answer)] = tokens.examples([ANSWERED])
    expected, whole = published(tokens.tokenizer, system, date_string="10 Apr 2025")
    assert list(prompt) == expected
    assert [*prompt, *answer] == whole
    [(bare, said)] = tokens.encode([(ANSWERED.prompt, ANSWERED.answer)])
    assert (*bare, *said, *tokens.tail) == (*prompt, *answer)


@pytest.mark.parametrize(
    ("template", "before"),
    [(None, "Question: Where does Bo live ?\nAnswer: "), (LLAMA_2, "[INST] Where does Bo live ? [/INST]")],
)
def test_models_that_it_asks_without_a_template_get_its_tags(framed, template, before):
    tokens = framed(template, "openunlearning")
    [(prompt, answer)] = tokens.examples([ANSWERED])
    head, whole = tokens.tokenizer([before, before + "old Rome"]).input_ids
    assert [*prompt, *answer] == [*whole, tokens.end]
    assert list(prompt) == whole[: len(head)]
    assert tokens.frame(ANSWERED.prompt) == before


def test_with_shots_it_puts_them_before_in_the_same_tags(framed):
    prompt = Prompt("Who ?", shots=(("Bo ?", "Rome"),))
    assert framed(None, "openunlearning").frame(prompt) == (
        "Question: Bo ?\nAnswer: Rome\n\nQuestion: Who ?\nAnswer: "
    )
    assert framed(LLAMA_2, "openunlearning").frame(prompt) == "[INST] Bo ? [/INST]Rome [INST] Who ? [/INST]"


def test_a_template_that_hides_where_an_answer_ends_is_refused_by_openunlearning_alone(framed):
    thinking = TURNS.replace("<assistant>\n", "<assistant>\n<think>")
    framed(thinking, "chat")
    with pytest.raises(ModelError, match="use --frame chat or --frame plain"):
        framed(thinking, "openunlearning")


def test_plain_leaves_a_chat_template_aside(framed):
    plain, none = framed(TURNS, "plain"), framed(None, "auto")
    assert plain.examples([ANSWERED]) == none.examples([ANSWERED])
    assert plain.framing.name == none.framing.name == "plain"
    assert plain.examples([ANSWERED]) != framed(TURNS, "chat").examples([ANSWERED])
    assert framed(TURNS, "chat").examples([ANSWERED]) == framed(TURNS, "auto").examples([ANSWERED])


def test_chat_without_a_template_is_refused(framed):
    with pytest.raises(ModelError, match="--frame chat: the tokenizer of the model"):
        framed(None, "chat")


@pytest.mark.parametrize("frame", ["auto", "chat", "openunlearning"])
def test_the_prompt_is_the_same_on_another_day(framed, monkeypatch, frame):
    said = []
    for today in (datetime(2026, 1, 1), datetime(2026, 1, 2)):
        clock = type("Clock", (datetime,), {"now": classmethod(lambda cls, *_, today=today: today)})
        monkeypatch.setattr(chat_template_utils, "datetime", clock)
        tokens = framed(DATED, frame)
        [(prompt, _)] = tokens.encode([(ANSWERED.prompt, "Rome")])
        turns = [{"role": "user", "content": "Who ?"}]
        said.append((prompt, tokens.frame(ANSWERED.prompt)))
        left_alone = tokens.tokenizer.apply_chat_template(turns, tokenize=False)
        assert f"Today {today:%d %b %Y}" in left_alone, "this template would not have changed anyhow"
    assert said[0] == said[1]
    assert "Today 10 Apr 2025" in said[0][1]


def test_another_day_may_be_chosen_and_is_told_where_a_template_writes_it(framed):
    tokens = framed(DATED, "chat", date(2024, 7, 26))
    assert "Today 26 Jul 2024" in tokens.frame(ANSWERED.prompt)
    assert tokens.framing.date == "2024-07-26"
    assert framed(TURNS, "chat").framing.date is None
    assert framed(DATED, "plain").framing.date is None


def test_an_answer_that_has_begun_goes_on_behind_its_opening(framed):
    prompt = Prompt("Who ?", opening="It is")
    assert framed(None, "auto").frame(prompt) == "Question: Who ?\nAnswer: It is"
    assert framed(None, "openunlearning").frame(prompt) == "Question: Who ?\nAnswer: It is"
    assert framed(LLAMA_2, "openunlearning").frame(prompt) == "[INST] Who ? [/INST]It is"
    literal = Prompt("Ada lives in", literal=True)
    assert framed(None, "openunlearning").frame(literal) == "Ada lives in"
    assert framed(LLAMA_2, "openunlearning").frame(literal) == "[INST] Ada lives in [/INST]"
