"""Frames: what stands before a question and behind its answer, as text and as token ids.

``openunlearning`` gives the token sequences with which that repository (locuslab/open-unlearning) trains and
asks its TOFU models, so that published checkpoints are asked as they were trained: a system turn where the
template has one, its day, the tags of its configurations for models that it asks without a template, and
behind the answer whatever the template writes there, and the end token.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from ..core.frame import Frame
from ..core.types import Prompt
from ..errors import ModelError
from . import template


class Tags(NamedTuple):
    """The text around a question and its answer."""

    user: str
    assistant: str
    """Behind the question."""
    next: str
    """Behind the answer of a shot."""


QUESTION_ANSWER = Tags("Question: ", "\nAnswer:", "\n\n")
BASE_MODEL = Tags("Question: ", "\nAnswer: ", "\n\n")
"""OpenUnlearning's configuration of Llama-2-7b-hf and others without a chat template: note the space."""
LLAMA_2 = Tags("[INST] ", " [/INST]", " ")
"""Its configuration of Llama-2-7b-chat-hf, which has a template and is asked without it."""
LLAMA_2_MARKS = ("[INST]", "<<SYS>>")
"""What the chat template of Llama 2 contains, and no other family's."""

SYSTEM = "You are a helpful assistant."
"""OpenUnlearning's system prompt, for all models whose template has a system turn."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """Text without a chat template."""

    name: str
    tags: Tags
    tail: tuple[int, ...]
    """Token ids behind an answer that is learned."""
    glue: str = " "
    """Between the tags and the answer."""
    joint: bool = False
    """Whether the prompt has the first tokens of prompt and answer together, as where tokens merge."""
    wraps: bool = False
    """Whether literal prompts stand between the tags, too, as in turns of a chat."""

    date: ClassVar[str | None] = None
    opens: ClassVar[bool] = True
    """Whether the tokenizer's own start comes first."""

    def head(self, prompt: Prompt) -> str:
        """The text before the answer."""
        user, assistant, after = self.tags
        head = "".join(f"{user}{asked}{assistant}{self.glue}{said}{after}" for asked, said in prompt.shots)
        if self._as_it_is(prompt):
            head, glue = head + prompt.text, "" if prompt.text[-1:].isspace() else " "
        else:
            head, glue = f"{head}{user}{prompt.text}{assistant}", self.glue
        return f"{head}{glue}{prompt.opening}" if prompt.opening else head

    def between(self, prompt: Prompt) -> str:
        """What separates the head from what follows."""
        return " " if prompt.opening or self._as_it_is(prompt) else self.glue

    def _as_it_is(self, prompt: Prompt) -> bool:
        return prompt.literal and not self.wraps


@dataclass(frozen=True, slots=True)
class Chat:
    """Turns of the tokenizer's chat template."""

    name: str
    tokenizer: Any
    frame: Frame
    tail: tuple[int, ...]
    system: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    """What the template is told beside the turns."""
    joint: ClassVar[bool] = False
    opens: ClassVar[bool] = False

    @property
    def date(self) -> str | None:
        """The day, where the template may write it."""
        text = str(self.tokenizer.chat_template)
        asks = "strftime_now" in text or ("date_string" in text and "date_string" in self.variables)
        return self.frame.date.isoformat() if asks else None

    def head(self, prompt: Prompt) -> str:
        """The text before the answer."""
        turns = self.turns(prompt)
        return template.render(self.tokenizer, turns, self.frame.date, self.variables) + prompt.opening

    def between(self, prompt: Prompt) -> str:
        """What separates the head from what follows."""
        return " " if prompt.opening else ""

    def turns(self, prompt: Prompt) -> template.Turns:
        """What is said before the answer."""
        said = [*(part for shot in prompt.shots for part in shot), prompt.text]
        turns = [{"role": "system", "content": self.system}] if self.system else []
        turns += [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(said)]
        return turns


Framing = Tagged | Chat


def framing_of(tokenizer: Any, frame: Frame) -> Framing:
    """The frame for a tokenizer. Raises ModelError for one that it cannot have."""
    end = (tokenizer.eos_token_id,)
    if frame.name == "openunlearning":
        return _openunlearning(tokenizer, frame)
    if frame.name == "chat" and not tokenizer.chat_template:
        raise ModelError(
            f"--frame chat: the tokenizer of the model '{tokenizer.name_or_path}' has no chat template. Use "
            "--frame plain, or save one with it."
        )
    if tokenizer.chat_template and frame.name != "plain":
        return Chat("chat", tokenizer, frame, end)
    return Tagged("plain", QUESTION_ANSWER, end)


def _openunlearning(tokenizer: Any, frame: Frame) -> Framing:
    end = (tokenizer.eos_token_id,)
    text = str(tokenizer.chat_template or "")
    if not text or all(mark in text for mark in LLAMA_2_MARKS):
        tags = LLAMA_2 if text else BASE_MODEL
        return Tagged("openunlearning", tags, end, glue="", joint=True, wraps=bool(text))
    told = {"date_string": f"{frame.date:%d %b %Y}"}
    chat = Chat("openunlearning", tokenizer, frame, end, SYSTEM, told)
    asked = Prompt(template.QUESTION["content"])
    try:
        chat.head(asked)
    except ModelError:  # Gemma's has no system turn, and is asked without one there, too
        chat = replace(chat, system="")
    behind = template.behind_answer(tokenizer, chat.turns(asked), frame.date, told)
    tail = tuple(tokenizer(behind, add_special_tokens=False).input_ids)
    return replace(chat, tail=tail if tail[-1:] == end else tail + end)
