"""Plain data: what a benchmark knows, what is asked of a model, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Question:
    """One way to ask for something: its text, the right answer, and false options to tell it from.

    ``aliases`` are other texts of the right answer, as good where a model answers in its own words.
    """

    text: str
    answer: str
    options: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A question, its answer, and what belongs to it. The unit that is forgotten, kept, injected or scored.

    ``paraphrases`` ask the same thing in other words, ``multi_hop`` need this fact on the way, and
    ``same_answer`` share the answer but must stay known (FaithUn). ``paraphrased_answer`` and
    ``perturbed_answers`` say the answer in other words, or wrongly in the same words (TOFU). ``passage`` is a
    text that is trained on in place of question and answer, where what is to be forgotten is text (MUSE). One
    that begins with the question is to be continued: the question is how it begins, the answer what follows.
    """

    id: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    subject: str = ""
    paraphrases: tuple[Question, ...] = ()
    multi_hop: tuple[Question, ...] = ()
    same_answer: tuple[Question, ...] = ()
    paraphrased_answer: str | None = None
    perturbed_answers: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    passage: str = ""

    @property
    def prompt(self) -> Prompt:
        """How it is asked in the form in which it is trained on: its question, or how its passage begins."""
        if self.passage and self.passage.startswith(self.question):
            return Prompt("", literal=True, opening=self.question)
        return Prompt(self.question)


class Splits(Mapping[str, tuple[Fact, ...]]):
    """The facts of a benchmark by split. ``forget`` and ``retain`` exist in every benchmark."""

    def __init__(self, splits: Mapping[str, tuple[Fact, ...]]) -> None:
        self._splits = {name: tuple(facts) for name, facts in splits.items()}

    def __getitem__(self, name: str) -> tuple[Fact, ...]:
        return self._splits[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)

    def only(self, names: frozenset[str]) -> Splits:
        """The part of the data that somebody declared to read; anything else is a KeyError."""
        return Splits({name: facts for name, facts in self.items() if name in names})


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. With a chat template it is the user's turn.

    Without one, a ``literal`` prompt is given as it is (it already ends where the answer begins), and any
    other is framed as ``Question: ... Answer:``. ``shots`` are questions with answers that come before it:
    earlier turns, or the same frame and a blank line. ``opening`` is text with which the answer has begun.
    A ``literal`` prompt without a text is running text in every frame: ``opening`` is how it begins.
    """

    text: str
    literal: bool = False
    shots: tuple[tuple[str, str], ...] = ()
    opening: str = ""

    @property
    def running(self) -> bool:
        """Whether it is running text, with no frame around it."""
        return self.literal and not self.text


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answer a model is trained to give, with the id of the fact it came from."""

    prompt: Prompt
    answer: str
    fact_id: str = ""


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """Ask for log pi(continuation | prompt), token by token. ``end`` adds what ends an answer.

    ``spread`` asks at each token for mean and standard deviation of log pi over the vocabulary, too.
    """

    prompt: Prompt
    continuation: str
    end: bool = True
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask for the greedy continuation, up to ``max_new_tokens`` or the end-of-sequence token."""

    prompt: Prompt
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Beginning:
    """Ask for the first ``tokens`` tokens of a ``text``, as text: what a cut answer is held against (MUSE).

    The tokenizer alone answers; ``prompt`` is what the text would follow, and changes nothing.
    """

    prompt: Prompt
    text: str
    tokens: int


class TokenScores(NamedTuple):
    """Answer to LogLikelihood: per token its log-probability in nats, and whether it is the argmax.

    Where ``spread`` was asked for, ``means`` and ``deviations`` are E[log pi] and the standard deviation of
    log pi under pi itself, over the vocabulary at that token's place. All are of shape (tokens,).
    """

    logprobs: np.ndarray
    hits: np.ndarray
    means: np.ndarray | None = None
    deviations: np.ndarray | None = None


Request = LogLikelihood | Generate | Beginning
Answer = TokenScores | str


@dataclass(frozen=True, slots=True)
class Measure:
    """One number per fact: the requests it needs and how their answers become the value.

    ``value`` gets the answers in the order of ``requests`` and returns a float.
    """

    split: str
    metric: str
    fact_id: str
    requests: tuple[Request, ...]
    value: Callable[..., float]


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one metric on one fact."""

    split: str
    metric: str
    fact_id: str
    value: float
    cluster: str = ""
    """The subject of the fact: values of one subject are alike. Empty where the fact has none."""
    answer: str | None = None
    """What the model wrote, where the value is that of one text; None where nothing was written, or more."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The value of one metric on one split: ``n`` facts, 95 % interval [low, high] over those facts.

    ``step`` and ``learning_rate`` are set on the points of a relearning or unlearning curve. What it is goes
    with it: the least and highest value it can take, its definition, and as ``at_most`` the metric of the
    same split that it never exceeds; None where nobody said so (see ``core.reports``).
    """

    split: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    step: int | None = None
    learning_rate: float | None = None
    low_bound: float | None = None
    high_bound: float | None = None
    definition: str | None = None
    at_most: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One number of an analysis: a point of a figure, or a cell of a table.

    ``figure`` names the figure or table, such as ``cumulated``, and ``series`` the line or group within it,
    ``""`` where there is one alone. ``value`` is finite; its unit is what the analysis says. ``x`` is the
    position on the axis (rank, depth), None for a single number. ``layer`` counts the decoder layers from 0,
    and ``module`` is ``q``, ``k``, ``v``, ``o``, ``gate``, ``up``, ``down`` or the family's counterpart.
    """

    figure: str
    series: str
    value: float
    x: float | None = None
    layer: int | None = None
    module: str | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """A metric that a benchmark reports on ``splits`` (``all``: an aggregate), and what computes it.

    ``formula`` is a function described by :func:`harness.formula`. ``needs`` names splits that the data may
    do without and this metric cannot, or ``twin``. ``better`` and ``ideal`` are what the description says,
    unless something narrower is true here. ``at_most`` names a metric of the same splits whose mean is never
    below this one's; results that say otherwise are refused.
    """

    metric: str
    splits: tuple[str, ...]
    formula: Callable[..., float]
    needs: tuple[str, ...] = ()
    better: str = ""
    ideal: str = ""
    at_most: str | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """How a benchmark makes its targets: what the original and its retrain twin learn from.

    ``vocabulary`` is every text the benchmark can ever ask or expect, for a tokenizer built from scratch.
    """

    original: tuple[Example, ...]
    retrain: tuple[Example, ...]
    vocabulary: tuple[str, ...] = ()
    epochs: int = 5
    learning_rate: float = 1e-5
    batch_size: int = 32


@dataclass(slots=True)
class Cost:
    """What a stage took: wall seconds, optimiser steps, tokens seen in training, peak memory in MiB."""

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    peak_memory_mib: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.steps + other.steps,
            self.tokens + other.tokens,
            max(self.peak_memory_mib, other.peak_memory_mib),
        )


@dataclass(slots=True)
class Outcome:
    """What a cell measured: metrics (final values and curves), per-fact samples, notes, and the cost.

    Of an analysis there are ``findings`` in place of metrics and samples.
    """

    metrics: list[Metric] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    findings: list[Finding] = field(default_factory=list)


def as_row(record: Any) -> dict[str, Any]:
    """A flat dataclass as a row of a table."""
    return {f.name: getattr(record, f.name) for f in fields(record)}
