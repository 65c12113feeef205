"""MUSE: forgetting news and books as text, by six criteria. (arXiv 2407.06460)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from harness import (
    Beginning,
    Benchmark,
    Fact,
    Field,
    Generate,
    LogLikelihood,
    Measure,
    Prompt,
    Sample,
    Splits,
    Training,
    membership,
    metrics,
)

from ..passages import mismatched, passages, running, targets, to_continue
from ..records import Record
from ..settings import TrainedConfig
from ..tables import find_table, read_table
from ..thresholds import stated
from .scores import PRIVATE, REPORTS, knowmem, privleak_published, verbmem

HUB_IDS = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
VERBATIM, ANSWER = 128, 32
"""Tokens that are generated: behind an excerpt, and to a question."""

BEGIN, FOLLOW = 64, 64
"""Words of a passage: with how many it is begun, and how many that follow are looked for."""

READ = ("raw/retain2", "raw/retain")
"""What a target has read beside the forget set."""

Fold = Literal["raw", "scal_1", "scal_2", "scal_3", "scal_4", "sust_1", "sust_2", "sust_3", "sust_4"]


class MuseConfig(TrainedConfig):
    corpus: Literal["news", "books"] = Field("news", description="News or Books")
    forget: Fold = Field(
        "raw", description="what is forgotten: all, or a fold of scalability (scal) or sustainability (sust)"
    )
    passage_words: int = Field(
        384, ge=4, description="longer texts are trained on in passages of at most so many words"
    )
    limit: int | None = Field(None, ge=1, description="only the first facts of every split, for trial runs")


class Muse(Benchmark):
    """MUSE on News or Books, from the hub or from a directory, such as ``data/news`` of the authors' code.

    Forgotten is running text, in passages. Criteria: C1 ``verbmem.verbmem``, C2 ``forget_qa.knowmem``, C3
    ``privleak`` (against this target's twin; ``privleak_published`` against the authors' retrained model), C4
    ``retain_qa.knowmem``, which is ``utility``, too. For C5 and C6 ``forget`` names the fold. MUSE prints
    scores times 100. What methods stop at and attacks bring back is ``rouge_l`` on the passages themselves.
    """

    name = "muse"
    paper = "arXiv 2407.06460"
    needs_data = True
    Config = MuseConfig
    forget_metric = "rouge_l"
    curve_metrics = ("rouge_l", "exact_match")
    retain_metric = ("retain_qa", "knowmem")
    reports = REPORTS

    def load(self) -> Splits:
        directory = self.data or self.hub.dataset(
            HUB_IDS[self.config.corpus], ["*.parquet", "*.json", "*.jsonl", "*.csv"]
        )
        fold = self.config.forget.replace("_", "/forget_") if "_" in self.config.forget else "raw/forget"
        splits = {
            "forget": self._passages(directory, "forget", fold),
            "retain": self._passages(directory, "retain", "raw/retain1", *READ),
        }
        if find_table(directory, *READ):
            splits["read"] = self._passages(directory, "read", *READ)
        splits["verbmem"] = excerpts(read_table(directory, "verbmem/forget"))
        for part in ("forget", "retain"):
            names = (f"{part}_qa", "retain2_qa") if part == "retain" else (f"{part}_qa",)
            shown = read_table(directory, *(f"knowmem/{name}_icl" for name in names))
            asked = read_table(directory, *(f"knowmem/{name}" for name in names))
            splits[f"{part}_qa"] = questions(f"{part}_qa", asked, shown)
        for name in PRIVATE:
            records = read_table(directory, name.replace("_", "/"))
            splits[name] = passages(records, name, 10**9, BEGIN, FOLLOW)
        splits = {name: facts[: self.config.limit] for name, facts in splits.items()}
        return Splits(splits | self.config.instructions(self.hub))

    def _passages(self, directory: Path, key: str, *names: str) -> tuple[Fact, ...]:
        return passages(read_table(directory, *names), key, self.config.passage_words, BEGIN, FOLLOW)

    def measures(self, splits: Splits) -> Iterator[Measure]:
        for split, facts in splits.items():
            for fact in facts:
                measure = partial(Measure, split, fact_id=fact.id)
                if split == "forget":
                    yield from self._forget(measure, fact)
                elif split == "verbmem":
                    cut = Beginning(fact.prompt, fact.answer, VERBATIM)
                    yield measure("verbmem", requests=(Generate(fact.prompt, VERBATIM), cut), value=verbmem)
                elif split in ("forget_qa", "retain_qa"):
                    said = Generate(Prompt("", literal=True, opening=fact.question), ANSWER)
                    yield measure("knowmem", requests=(said,), value=partial(knowmem, gold=fact.answer))
                elif split in PRIVATE:
                    yield measure("mia_min_k", requests=(running(fact.passage),), value=membership.mia_min_k)

    def _forget(self, measure: partial[Measure], fact: Fact) -> Iterator[Measure]:
        said = (Generate(fact.prompt, VERBATIM),)
        bare = LogLikelihood(fact.prompt, fact.answer, end=False)
        yield measure("rouge_l", requests=said, value=partial(metrics.rouge_l_recall, gold=fact.answer))
        yield measure("exact_match", requests=said, value=partial(metrics.exact_match, gold=fact.answer))
        yield measure("probability", requests=(bare,), value=metrics.probability)
        yield measure("extraction_strength", requests=(bare,), value=metrics.extraction_strength)

    def aggregates(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """C4 as ``utility``; the AUC of min-40 %, and PrivLeak against the published one."""
        of, found = metrics.by_metric(samples), {}
        if (kept := metrics.means(samples).get(("retain_qa", "knowmem"))) is not None:
            found["utility"] = kept
        scores = [of.get((split, "mia_min_k")) for split in PRIVATE]
        if scores[0] and scores[1]:
            found["auc_min_k"] = auc = membership.auc(scores[0], scores[1])
            found["privleak_published"] = privleak_published(auc, self.config.corpus)
        return found

    def against_twin(self, samples: Sequence[Sample], twin: Sequence[Sample]) -> Mapping[str, float]:
        """C3; it has no scale where the twin's AUC is 1."""
        auc, reference = (self.aggregates(part).get("auc_min_k") for part in (samples, twin))
        if auc is None or reference is None or reference == 1:
            return {}
        return {"privleak": membership.privleak(auc, reference)}

    def threshold(self, splits: Splits) -> float | None:
        """The retrain twin's own score."""
        return stated(self.config.threshold)

    def chance(self, splits: Splits) -> float:
        """Mean ROUGE-L recall of what follows in retained passages."""
        golds, others = ([fact.answer for fact in splits[name]] for name in ("forget", "retain"))
        return mismatched(metrics.rouge_l_recall, golds, others)

    def training(self, splits: Splits) -> Training:
        """Forget set and what was read beside it for the original; the latter alone for its twin."""
        corpus = splits.get("read") or splits["retain"]
        more = [fact for name, facts in splits.items() if name != "instruct" for fact in facts]
        return targets(self.config, corpus, splits["forget"], *more)


def excerpts(records: Sequence[Record]) -> tuple[Fact, ...]:
    """The excerpts of VerbMem: ``prompt``, and ``gt`` which follows."""
    parts = [to_continue(record.text("prompt"), record.text("gt")) for record in records]
    return tuple(
        Fact(f"verbmem {number}", begin, end, passage=text)
        for number, (begin, end, text) in enumerate(parts, 1)
    )


def questions(key: str, records: Sequence[Record], examples: Sequence[Record]) -> tuple[Fact, ...]:
    """The questions of KnowMem as they are records: behind those that are shown with their answers."""
    pairs = [(record.text("question"), record.text("answer")) for record in examples]
    before = "".join(f"Question: {question}\nAnswer: {answer}\n\n" for question, answer in pairs)
    return tuple(
        Fact(
            f"{key} {number}", f"{before}Question: {record.text('question')}\nAnswer: ", record.text("answer")
        )
        for number, record in enumerate(records, 1)
    )
