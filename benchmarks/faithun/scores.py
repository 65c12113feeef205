"""The scores of the FaithUn paper, and every metric that is reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness import Reported, metrics

SCORES = {
    "UA": ("forget", ""),
    "UA+": ("forget", "_paraphrase"),
    "MA_f": ("forget", "_multi_hop"),
    "TA": ("test", ""),
    "SA": ("forget", "_same_answer"),
    "MA_t": ("test", "_multi_hop"),
}
"""The paper's scores: on which split, and on which questions of its facts ("" is the base question)."""

SHOULD_FALL, SHOULD_STAY = ("UA", "UA+", "MA_f"), ("TA", "SA", "MA_t")
"""Those that should fall to chance, and those that should stay."""

FAMILIES = {
    "likelihood": ("accuracy",),
    "generated": ("generated_accuracy",),
    "both": ("generated_accuracy", "accuracy"),
    "cloze": ("cloze_accuracy",),
}
"""By scoring, what its metrics begin with. Threshold, attacks and the paper's scores follow the first."""


GENERAL = Reported("exact_match", ("general",), metrics.exact_match)
"""Of the embedded world alone: its general facts."""


def reported(families: Sequence[str]) -> tuple[Reported, ...]:
    """Every metric where choices are scored in these ways."""
    formulas: dict[str, Callable[..., float]] = {
        "accuracy": metrics.option_correct,
        "generated_accuracy": metrics.option_generated,
        "cloze_accuracy": metrics.cloze_correct,
    }

    def accuracy(metric: str, split: str, family: str, name: str) -> Reported:
        better, ideal = ("lower", "chance") if name in SHOULD_FALL else ("higher", "1")
        return Reported(metric, (split,), formulas[family], better=better, ideal=ideal)

    return (
        *(accuracy(family, "retain", family, "TA") for family in families),
        *(accuracy(f + kind, split, f, name) for f in families for name, (split, kind) in SCORES.items()),
        Reported("exact_match", ("forget", "retain", "test"), metrics.exact_match),
        Reported("probability", ("forget",), metrics.probability, better="lower", ideal="0"),
        Reported("extraction_strength", ("forget",), metrics.extraction_strength, better="lower", ideal="0"),
        *(accuracy(name, "all", families[0], name) for name in SCORES),
        Reported("utility", ("all",), metrics.harmonic_mean),
        Reported("faithfulness", ("all",), metrics.faithfulness),
    )
