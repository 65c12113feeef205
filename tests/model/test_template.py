"""A chat template that fails, does not end, explodes or drops the question is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.types import Prompt
from harness.errors import ModelError
from harness.model import template
from harness.model.tokens import PromptTokenizer

HARMLESS = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</s>{% endfor %}<assistant>"
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
FAULTY = {
    "{{ raise_exception('no system turn') }}": "fails: TemplateError: no system turn.",
    "{{ messages.nothing.at_all }}": "fails: UndefinedError: ",
    "{% for %}": "fails: TemplateSyntaxError: ",
    "{{ ''.__class__.__mro__ }}": "fails: SecurityError: ",
    "Hello": "leaves out what is said in a turn, 'Which town is number 4711 on the list ?' for one.",
    "{{ messages[0].content[:20] }}": "leaves out what is said in a turn",
    HARMLESS + "{{ 'x' * 30000 }}": "adds 30,",
    "{{ 'x' * 10 ** 11 }}": "fails: MemoryError",
    HARMLESS + LOOP: "has not ended after 0.3 seconds.",
    HARMLESS + "{{ 10 ** (10 ** 9) }}": "has not ended after 0.3 seconds.",
}


@pytest.fixture
def chat(make_tokenizer, monkeypatch):
    """A tokenizer with this chat template."""
    monkeypatch.setattr(template, "SECONDS", 0.3)
    monkeypatch.setattr(template, "_tried", set())

    def make(text):
        tokenizer = make_tokenizer()
        tokenizer.chat_template = text
        return tokenizer

    return make


@pytest.mark.parametrize("text", FAULTY)
def test_a_template_of_no_use_is_refused_when_its_tokenizer_is_taken(chat, text):
    with pytest.raises(ModelError) as caught:
        PromptTokenizer(chat(text))
    assert str(caught.value).startswith("The chat template of the model '")
    assert FAULTY[text] in str(caught.value)
    assert str(caught.value).endswith(template.ADVICE)
    assert len(str(caught.value)) < 1_000


def test_a_template_is_tried_once(chat, monkeypatch):
    PromptTokenizer(chat(HARMLESS))
    monkeypatch.setattr(template, "_apart", lambda _: "tried again")
    assert PromptTokenizer(chat(HARMLESS)).frame(Prompt(" Who ? ")) == "<user>Who ?</s><assistant>"


SHOTS = (("Bo ?", "Rome"),)


@pytest.mark.parametrize(
    ("text", "prompt", "says"),
    [
        (
            "{{ messages[-1].content }}",
            Prompt("Who ?", shots=SHOTS),
            "leaves out what is said in a turn, 'Bo ?'",
        ),
        (
            HARMLESS + "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}",
            Prompt("Who ?", shots=SHOTS),
            "fails: TemplateError: one turn.",
        ),
        (
            HARMLESS + "{% if 'Who' in messages[0].content %}{{ 'x' * 30000 }}{% endif %}",
            Prompt("Who ?"),
            "adds 30,",
        ),
    ],
)
def test_what_the_trial_cannot_see_is_seen_with_the_prompt(chat, text, prompt, says):
    tokens = PromptTokenizer(chat(text))
    with pytest.raises(ModelError) as caught:
        tokens.frame(prompt)
    assert says in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found in /proc")
def test_no_process_of_a_trial_is_left(chat):
    before = children()
    with pytest.raises(ModelError):
        PromptTokenizer(chat(HARMLESS + LOOP))
    assert children() == before


def children():
    """Processes that this one has started."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}
