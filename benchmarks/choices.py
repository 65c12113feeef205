"""FaithUn's multiple choice: the published prompt, the order of its options, and all ways of scoring it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from statistics import fmean

from harness import Generate, LogLikelihood, Prompt, Question, Request, TokenScores, metrics

TEMPLATE = (
    "Answer the following question by simply selecting a proper answer among the given options. "
    "You must generate only the exact word without an explanation.\n"
    "Question: {question}\n"
    "Options: {options}\n"
    "Your Answer:"
)
"""The evaluation prompt of FaithUn (arXiv 2502.19207), literally. With a chat template it is the user's turn.

The paper leaves open how the options are listed; here they stand in a row, with ", " between them.
"""

FALSE_OPTIONS = 2
"""Beside the answer: three options in all, and chance is 1/3."""

Scoring = tuple[tuple[Request, ...], Callable[..., float]]
"""The requests for some questions, and how their answers become the share that is right, in [0, 1]."""


def option_prompt(question: Question, seed: int | str) -> Prompt:
    """The prompt about one question. Options, question and seed alone decide the order of the options."""
    options = [question.answer, *question.options]
    Random("|".join((str(seed), question.text, *options))).shuffle(options)
    return Prompt(TEMPLATE.format(question=question.text, options=", ".join(options)), literal=True)


def option_sets(question: Question) -> tuple[Question, ...]:
    """The question with each two of its false options: of one with six three, which are asked apart."""
    options = question.options
    shown = (options[at : at + FALSE_OPTIONS] for at in range(0, len(options), FALSE_OPTIONS))
    return tuple(replace(question, options=each) for each in shown)


def by_likelihood(questions: Iterable[Question], seed: int | str) -> Scoring:
    """Right is the answer that is likelier than each false option (``metrics.option_correct``)."""
    requests = tuple(
        LogLikelihood(option_prompt(question, seed), option, end=False)
        for question in questions
        for option in (question.answer, *question.options)
    )

    def value(*scores: TokenScores) -> float:
        shown = 1 + FALSE_OPTIONS
        return fmean(metrics.option_correct(*scores[i : i + shown]) for i in range(0, len(scores), shown))

    return requests, value


def by_cloze(questions: Iterable[Question]) -> Scoring:
    """Right is the answer that is likelier, after the plain question, than each false option.

    No option stands in the prompt, which is that of training. Of several right texts the likeliest counts
    (``metrics.cloze_correct``).
    """
    choices = [((q.answer, *q.aliases), q.options, Prompt(q.text)) for q in questions]
    requests = tuple(
        LogLikelihood(prompt, option, end=False)
        for right, wrong, prompt in choices
        for option in (*right, *wrong)
    )

    def value(*scores: TokenScores) -> float:
        rest = iter(scores)
        return fmean(
            metrics.cloze_correct([next(rest) for _ in right], [next(rest) for _ in wrong])
            for right, wrong, _ in choices
        )

    return requests, value


def by_generation(questions: Iterable[Question], seed: int | str, max_new_tokens: int) -> Scoring:
    """Right is the greedy answer that names the right option (``metrics.option_generated``)."""
    questions = tuple(questions)
    requests = tuple(Generate(option_prompt(question, seed), max_new_tokens) for question in questions)

    def value(*texts: str) -> float:
        return fmean(
            metrics.option_generated(text, (question.answer, *question.aliases), question.options)
            for text, question in zip(texts, questions, strict=True)
        )

    return requests, value
