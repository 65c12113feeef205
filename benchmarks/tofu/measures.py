"""What TOFU measures, on its own data and in the embedded world. (arXiv 2401.06121, 2506.12618)

Where a request ends matters: probabilities, truth ratios, the loss and zlib scores count the end token;
exact memorisation, extraction strength and the min-k scores drop it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness import (
    Benchmark,
    Fact,
    Generate,
    LogLikelihood,
    Measure,
    Prompt,
    Reported,
    Sample,
    Splits,
    membership,
    metrics,
)

KEPT_SPLITS = ("retain_perturbed", "real_authors", "world_facts")
"""The splits of Model Utility."""

PARTS = tuple(
    (split, metric) for split in KEPT_SPLITS for metric in ("probability", "rouge_l", "truth_ratio")
)
"""The nine numbers it is made of."""

MEMORISED = ("extraction_strength", "exact_memorisation", "probability_paraphrase", "truth_ratio_knowledge")
"""The means over the forget set that Mem is made of."""

MEMBERSHIP: Mapping[str, Callable[..., float]] = {
    "loss": membership.mia_loss,
    "zlib": membership.mia_zlib,
    "min_k": membership.mia_min_k,
    "min_k_plus_plus": membership.mia_min_k_plus_plus,
}

FORGET, AGGREGATE, HOLDOUT, TWIN = ("forget",), ("all",), ("holdout",), ("twin",)
LOW: Mapping[str, Any] = {"better": "lower", "ideal": "0"}


class TofuMeasures(Benchmark):
    """Measures, aggregates and comparisons with the twin, of whatever splits there are."""

    paper = "arXiv 2401.06121"
    neutral = ("real_authors", "world_facts")
    forget_metric = "rouge_l"
    curve_metrics = ("rouge_l", "exact_match")
    retain_metric = ("retain_perturbed", "rouge_l")
    reports: tuple[Reported, ...] = (
        Reported("rouge_l", ("forget", *KEPT_SPLITS), metrics.rouge_l_recall),
        Reported("probability", ("forget", "retain_perturbed"), metrics.probability),
        Reported("probability", ("real_authors", "world_facts"), metrics.probability_normalised),
        Reported("truth_ratio", FORGET, metrics.truth_ratio_forget),
        Reported("truth_ratio", KEPT_SPLITS, metrics.truth_ratio_other),
        Reported("truth_ratio_knowledge", FORGET, metrics.truth_ratio_knowledge),
        Reported("log_truth_ratio", FORGET, metrics.log_truth_ratio),
        Reported("probability_paraphrase", FORGET, metrics.probability, **LOW),
        Reported("exact_match", FORGET, metrics.exact_match, at_most="rouge_l", **LOW),
        Reported("exact_memorisation", FORGET, metrics.exact_memorisation, **LOW),
        Reported("extraction_strength", FORGET, metrics.extraction_strength, **LOW),
        *(Reported(f"mia_{name}", FORGET + HOLDOUT, score, HOLDOUT) for name, score in MEMBERSHIP.items()),
        Reported("utility", AGGREGATE, metrics.model_utility),
        Reported("mem", AGGREGATE, metrics.mem),
        *(Reported(f"auc_{name}", AGGREGATE, membership.auc, HOLDOUT) for name in MEMBERSHIP),
        Reported("forget_quality", AGGREGATE, metrics.forget_quality, TWIN),
        Reported("log10_forget_quality", AGGREGATE, metrics.log10_forget_quality, TWIN),
        Reported("privleak", AGGREGATE, membership.privleak, HOLDOUT + TWIN),
    )

    def measures(self, splits: Splits) -> Iterator[Measure]:
        for split, facts in splits.items():
            if split in ("forget", *KEPT_SPLITS):
                for fact in facts:
                    yield from self._measures(split, fact)
        if splits.get("holdout"):
            for split in FORGET + HOLDOUT:
                for fact in splits.get(split, ()):
                    yield from membership_measures(split, fact)

    def _measures(self, split: str, fact: Fact) -> Iterator[Measure]:
        prompt = Prompt(fact.question)
        text = (Generate(prompt, self.config.max_new_tokens),)
        answer = LogLikelihood(prompt, fact.answer)
        truth = (
            LogLikelihood(prompt, fact.paraphrased_answer or fact.answer),
            *(LogLikelihood(prompt, wrong) for wrong in fact.perturbed_answers),
        )
        yield Measure(split, "rouge_l", fact.id, text, lambda said: metrics.rouge_l_recall(said, fact.answer))
        if split in ("real_authors", "world_facts"):
            yield Measure(split, "probability", fact.id, (answer, *truth[1:]), metrics.probability_normalised)
        else:
            yield Measure(split, "probability", fact.id, (answer,), metrics.probability)
        if split != "forget":
            yield Measure(split, "truth_ratio", fact.id, truth, metrics.truth_ratio_other)
            return
        yield Measure(split, "truth_ratio", fact.id, truth, metrics.truth_ratio_forget)
        yield Measure(split, "truth_ratio_knowledge", fact.id, truth, metrics.truth_ratio_knowledge)
        yield Measure(split, "log_truth_ratio", fact.id, truth, metrics.log_truth_ratio)
        yield Measure(split, "probability_paraphrase", fact.id, truth[:1], metrics.probability)
        yield Measure(
            split, "exact_match", fact.id, text, lambda said: metrics.exact_match(said, fact.answer)
        )
        bare = (LogLikelihood(prompt, fact.answer, end=False),)
        yield Measure(split, "exact_memorisation", fact.id, bare, metrics.exact_memorisation)
        yield Measure(split, "extraction_strength", fact.id, bare, metrics.extraction_strength)

    def aggregates(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """Model Utility, Mem, and the AUC of each membership score, where their parts are there."""
        of, mean = metrics.by_metric(samples), metrics.means(samples)
        found = {
            f"auc_{name}": membership.auc(of["forget", f"mia_{name}"], of["holdout", f"mia_{name}"])
            for name in MEMBERSHIP
            if all((split, f"mia_{name}") in of for split in FORGET + HOLDOUT)
        }
        if all(part in mean for part in PARTS):
            found["utility"] = metrics.model_utility(mean[part] for part in PARTS)
        if all(("forget", part) in mean for part in MEMORISED):
            found["mem"] = metrics.mem(*(mean["forget", part] for part in MEMORISED))
        return found

    def against_twin(self, samples: Sequence[Sample], twin: Sequence[Sample]) -> Mapping[str, float]:
        """Forget quality and, with a holdout, PrivLeak; the latter has no scale where the twin's AUC is 1."""
        own, other = (metrics.by_metric(s)["forget", "log_truth_ratio"] for s in (samples, twin))
        found = {
            "forget_quality": metrics.forget_quality(own, other),
            "log10_forget_quality": metrics.log10_forget_quality(own, other),
        }
        auc, reference = (self.aggregates(s).get("auc_min_k") for s in (samples, twin))
        if auc is not None and reference is not None and reference < 1:
            found["privleak"] = membership.privleak(auc, reference)
        return found


def membership_measures(split: str, fact: Fact) -> Iterator[Measure]:
    """The four scores of one text, for which a model's answer is teacher-forced."""
    prompt = Prompt(fact.question)
    whole = (LogLikelihood(prompt, fact.answer),)
    bare = LogLikelihood(prompt, fact.answer, end=False)
    yield Measure(split, "mia_loss", fact.id, whole, membership.mia_loss)
    yield Measure(split, "mia_zlib", fact.id, whole, lambda scores: membership.mia_zlib(scores, fact.answer))
    yield Measure(split, "mia_min_k", fact.id, (bare,), membership.mia_min_k)
    wide = LogLikelihood(prompt, fact.answer, end=False, spread=True)
    yield Measure(split, "mia_min_k_plus_plus", fact.id, (wide,), membership.mia_min_k_plus_plus)
