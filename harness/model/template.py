"""Chat templates of models: programs of strangers that must end, be short, and contain what is asked."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ModelError, one_line

SECONDS = 5
"""Time a template has for its trial; those of published models take a few milliseconds."""

CHARACTERS = 20_000
"""What a template may add to what is said; published ones add less than 2,000."""

MEMORY = 2**30
"""Bytes it may take in its trial."""

Turns = Sequence[Mapping[str, str]]

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


def render(tokenizer: Any, turns: Turns) -> str:
    """The turns as the template writes them, up to where the answer begins. Raises ModelError."""
    name = f"The chat template of the model '{tokenizer.name_or_path}'"
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
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
    return f"The chat template of the model '{tokenizer.name_or_path}' {how}. {ADVICE}"


def _limit_memory() -> None:
    """On Linux, where what there is already can be read."""
    with contextlib.suppress(OSError, ImportError, ValueError):
        import resource

        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
