"""LUME: forgetting stories, made-up people and real people, as texts and as questions. (arXiv 2502.15097)"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from harness import (
    Benchmark,
    DataError,
    Fact,
    Field,
    Generate,
    LogLikelihood,
    Measure,
    Sample,
    Splits,
    Training,
    membership,
    metrics,
)

from ..passages import mismatched, running, targets
from ..settings import TrainedConfig
from ..thresholds import stated
from .files import FORGET, KINDS, MEMBER, NONMEMBER, RETAIN, TASKS, item, read_documents, read_facts
from .scores import REPORTS, TERMS, document_loss, knowledge, mia_score, task_aggregate


class LumeConfig(TrainedConfig):
    questions: Literal["text", "framed"] = Field(
        "text",
        description="ask questions as running text, as the official scorer does, or as the run's frame",
    )
    limit: int | None = Field(
        None, ge=1, description="only the first documents of each task in every split, for trial runs"
    )
    max_new_tokens: int = Field(256, ge=1, description="length of a generated answer")


class Lume(Benchmark):
    """LUME (SemEval-2025 Task 4): three tasks, each with texts to continue and questions.

    The directory given with ``--data`` holds ``forget`` and ``retain`` as JSON lines, JSON, CSV or Parquet,
    with ``id``, ``input``, ``output`` and ``task``, as the authors' repository does. With ``member`` and
    ``nonmember`` (field ``document``) beside them membership inference is measured, too.

    Of texts (``sc``) ROUGE-L recall is ``regurgitation``, and of questions (``qa``) an exact match is
    ``knowledge``, each by task; ``task_aggregate`` is of their twelve means. ``rouge_l`` and ``exact_match``
    look at both kinds.
    """

    name = "lume"
    paper = "arXiv 2502.15097"
    needs_data = True
    Config = LumeConfig
    forget_metric = "rouge_l"
    curve_metrics = ("rouge_l", "exact_match")
    retain_metric = ("retain", "rouge_l")
    reports = REPORTS

    def load(self) -> Splits:
        if self.data is None:
            raise DataError(
                "lume",
                "its facts come from a directory: clone amazon-science/lume-llm-unlearning, give --data",
            )
        framed = self.config.questions == "framed"
        forget = read_facts(self.data, FORGET, framed)
        splits = {"forget": forget, "retain": read_facts(self.data, RETAIN, framed, unlike=forget)}
        for split, facts in splits.items():
            lacking = {(t, k) for t in TASKS for k in KINDS} - {(item(f).task, item(f).kind) for f in facts}
            if lacking:
                task, kind = min(lacking)
                raise DataError(self.data, f"the {split} set has no item of kind '{kind}' of {task}")
        splits = {split: self._first(facts) for split, facts in splits.items()}
        documents = {name: read_documents(self.data, name) for name in (MEMBER, NONMEMBER)}
        if bool(documents[MEMBER]) != bool(documents[NONMEMBER]):
            raise DataError(self.data, f"'{MEMBER}' and '{NONMEMBER}' go together: one of them is missing")
        splits |= {name: facts[: self.config.limit] for name, facts in documents.items() if facts}
        return Splits(splits | self.config.instructions(self.hub))

    def _first(self, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """The facts of the first documents of each task."""
        documents: dict[str, dict[str, None]] = defaultdict(dict)
        for fact in facts:
            documents[item(fact).task][fact.subject] = None
        chosen = {name for names in documents.values() for name in list(names)[: self.config.limit]}
        return tuple(fact for fact in facts if fact.subject in chosen)

    def measures(self, splits: Splits) -> Iterator[Measure]:
        for split, facts in splits.items():
            for fact in facts:
                if split in ("forget", "retain"):
                    yield from self._measures(split, fact)
                elif split in (MEMBER, NONMEMBER):
                    yield Measure(split, "document_loss", fact.id, (running(fact.passage),), document_loss)

    def _measures(self, split: str, fact: Fact) -> Iterator[Measure]:
        task, _, kind = item(fact)
        measure = partial(Measure, split, fact_id=fact.id)
        said = (Generate(fact.prompt, self.config.max_new_tokens),)
        score = partial(knowledge if kind == "qa" else metrics.rouge_l_recall, gold=fact.answer)
        yield measure("rouge_l", requests=said, value=partial(metrics.rouge_l_recall, gold=fact.answer))
        yield measure("exact_match", requests=said, value=partial(metrics.exact_match, gold=fact.answer))
        yield measure(f"{KINDS[kind]}_{task}", requests=said, value=score)
        answer = LogLikelihood(fact.prompt, fact.answer)
        yield measure("probability", requests=(answer,), value=metrics.probability)
        if split == "forget":
            bare = LogLikelihood(fact.prompt, fact.answer, end=False)
            yield measure("extraction_strength", requests=(bare,), value=metrics.extraction_strength)

    def aggregates(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """The task aggregate, its retained half as ``utility``, and membership where the files are there."""
        of, mean = metrics.by_metric(samples), metrics.means(samples)
        forget, retain = ([mean.get(term) for term in TERMS if term[0] == s] for s in ("forget", "retain"))
        found = {}
        if None not in retain:
            found["utility"] = metrics.harmonic_mean(retain)  # type: ignore[arg-type]
            if None not in forget:
                found["task_aggregate"] = task_aggregate(forget, retain)  # type: ignore[arg-type]
        losses = [of.get((split, "document_loss")) for split in (MEMBER, NONMEMBER)]
        if losses[0] and losses[1]:
            found["mia_auc"] = membership.auc(losses[0], losses[1])
            found["mia_score"] = mia_score(found["mia_auc"])
        return found

    def threshold(self, splits: Splits) -> float | None:
        """The retrain twin's own score; none was published."""
        return stated(self.config.threshold)

    def chance(self, splits: Splits) -> float:
        """Mean ROUGE-L recall of what other, retained items of the same task and kind say."""
        told: dict[tuple[str, str], list[str]] = defaultdict(list)
        asked: dict[tuple[str, str], list[str]] = defaultdict(list)
        for split, answers in (("retain", told), ("forget", asked)):
            for fact in splits[split]:
                answers[item(fact).task, item(fact).kind].append(fact.answer)
        every = [answer for answers in told.values() for answer in answers]
        shares = [
            len(golds) * mismatched(metrics.rouge_l_recall, golds, told[of] or every)
            for of, golds in asked.items()
        ]
        return sum(shares) / len(splits["forget"])

    def training(self, splits: Splits) -> Training:
        """Both sets for the original; the retain set alone for its twin."""
        documents = [fact for name in (MEMBER, NONMEMBER) for fact in splits.get(name, ())]
        return targets(self.config, splits["retain"], splits["forget"], *documents)
