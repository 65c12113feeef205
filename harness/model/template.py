"""Chat templates of models: programs of strangers that must end, be short, and contain what is asked."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ..core.frame import PUBLISHED_DATE
from ..errors import ModelError, one_line

SECONDS = 5
"""Time a template has for its trial; those of published models take a few milliseconds."""

CHARACTERS = 20_000
"""What a template may add to what is said; published ones add less than 2,000."""

MEMORY = 2**30
"""Bytes it may take in its trial."""

Turns = Sequence[Mapping[str, str]]

NO_VARIABLES: Mapping[str, str] = {}

PINNED = (
    "{% macro strftime_now(form) %}"
    "{{ pinned[form] if form in pinned else raise_exception('it makes up the format of a date') }}"
    "{% endmacro %}{{ '' }}"
)
"""In place of what transformers offers under this name. Templates are told only data: a text for each format.
The last expression keeps a line break that the template begins with."""

FORMAT = re.compile(r"""['"]([^'"\n]*%[^'"\n]*)['"]""")
"""What may be the format of a date: text with a percent sign."""

QUESTION = {"role": "user", "content": "Which town is number 4711 on the list ?"}
ANSWER = {"role": "assistant", "content": "The second one."}

_tried: set[str] = set()


def check(tokenizer: Any) -> None:
    """Try the template once for each process, where it can be ended. Raises ModelError where it fails."""
    if tokenizer.chat_template is None or (identity := repr(tokenizer.chat_template)) in _tried:
        return
    import jinja2.sandbox  # noqa: F401  what the trial would import, so that it takes no time of its own

    if problem := _apart(tokenizer) if hasattr(os, "fork") else _trial(tokenizer):
        raise ModelError(problem)
    _tried.add(identity)


def render(
    tokenizer: Any,
    turns: Turns,
    day: date = PUBLISHED_DATE,
    variables: Mapping[str, str] = NO_VARIABLES,
    answered: bool = False,
) -> str:
    """The turns as the template writes them, up to where the answer begins. Raises ModelError.

    A template that asks for today's date gets ``day``: with another prompt every morning nothing could be
    compared. ``variables`` are what it is told beside. With ``answered`` the last turn is the answer.
    """
    name = _name(tokenizer)
    told: dict[str, Any] = {**variables}
    try:
        text = tokenizer.get_chat_template()
        if "strftime_now" in text:
            told |= {"pinned": {form: day.strftime(form) for form in FORMAT.findall(text)}}
            text = PINNED + text
        text = tokenizer.apply_chat_template(
            turns, chat_template=text, tokenize=False, add_generation_prompt=not answered, **told
        )
    except Exception as error:  # whatever the template does
        raise ModelError(f"{name} fails: {one_line(error)}. {ADVICE}") from error
    said = [turn["content"].strip() for turn in turns]
    if missing := next((part for part in said if part not in text), None):
        raise ModelError(f"{name} leaves out what is said in a turn, '{missing:.60}' for one. {ADVICE}")
    if len(text) - sum(map(len, said)) > CHARACTERS:
        raise ModelError(
            f"{name} adds {len(text):,} characters to a question; at most {CHARACTERS:,}. {ADVICE}"
        )
    return text


def behind_answer(tokenizer: Any, turns: Turns, day: date, variables: Mapping[str, str]) -> str:
    """What the template writes behind an answer to the turns. Raises ModelError where it is not plain."""
    head = render(tokenizer, turns, day, variables)
    whole = render(tokenizer, [*turns, ANSWER], day, variables, answered=True)
    if not whole.startswith(begun := head + ANSWER["content"]):
        raise ModelError(
            f"{_name(tokenizer)} writes an answer in another way than it opens one, so what stands behind it "
            "is not known: use --frame chat or --frame plain."
        )
    return whole[len(begun) :]


def _name(tokenizer: Any) -> str:
    return f"The chat template of the model '{tokenizer.name_or_path}'"


ADVICE = (
    "Mend it, or take it out of tokenizer_config.json and chat_template.jinja: "
    "questions are then asked as plain text."
)


def _trial(tokenizer: Any) -> str:
    """What is wrong with the template, or nothing. Not every one takes several turns: that is seen in use."""
    try:
        render(tokenizer, [QUESTION])
        with contextlib.suppress(ModelError):
            render(tokenizer, [QUESTION, ANSWER, QUESTION])
    except ModelError as error:
        return str(error)
    return ""


def _apart(tokenizer: Any) -> str:
    """The trial in a process of its own: a loop within jinja, or one number to the power of another, does
    not listen to anything but its end."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: jinja needs none
        child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            _limit_memory()
            os.write(write, b"=" + _trial(tokenizer).encode(errors="replace")[:3_000])
        os._exit(0)
    os.close(write)
    try:
        ended, _, _ = select.select([read], [], [], SECONDS)
        said = os.read(read, 4_000).decode(errors="replace") if ended else ""
    finally:
        os.close(read)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if said:
        return said[1:]
    how = "ends the process that renders it" if ended else f"has not ended after {SECONDS} seconds"
    return f"{_name(tokenizer)} {how}. {ADVICE}"


def _limit_memory() -> None:
    """On Linux, where what there is already can be read."""
    with contextlib.suppress(OSError, ImportError, ValueError):
        import resource

        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
