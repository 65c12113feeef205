"""The columns of the leaderboard, each with its meaning, and the lists of columns that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import pyarrow as pa

EXACT = ("forget", "exact_match")
"""Split and metric of the column ``exact_match``; null for a benchmark that has no such metric."""


class Estimate(NamedTuple):
    """A number with its 95 % interval: the columns ``name``, ``name_low`` and ``name_high`` of a row."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any], name: str) -> Self:
        """The estimate in a row."""
        return cls(row[name], row[f"{name}_low"], row[f"{name}_high"])

    @property
    def ends(self) -> tuple[float, float]:
        """Of its interval; the number itself where it has none. It must be known."""
        assert self.value is not None
        return self.value if self.low is None else self.low, self.value if self.high is None else self.high

    def columns(self, name: str) -> dict[str, float | None]:
        """The three columns."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


Columns = dict[str, tuple[pa.DataType, str]]
"""By name, type and meaning."""

FLOAT, INT, TEXT, BOOL = pa.float64(), pa.int64(), pa.string(), pa.bool_()


def estimate(name: str, says: str, interval: str = "95 % interval over facts and seeds") -> Columns:
    """The three columns of an estimate."""
    return {
        name: (FLOAT, says),
        f"{name}_low": (FLOAT, f"lower end of its {interval}"),
        f"{name}_high": (FLOAT, "upper end of it"),
    }


COLUMNS: Columns = {
    "protocol": (TEXT, "version of the measurement; a leaderboard never mixes two"),
    "engine": (TEXT, "SHA-256 of the code that decides numbers; null where an older schema kept none"),
    "benchmark": (TEXT, "name of the benchmark"),
    "benchmark_source": (TEXT, "SHA-256 of the benchmark's source; null as above"),
    "benchmark_config": (
        TEXT,
        "settings that tell it from the same benchmark's other rows; null if it has no others",
    ),
    "data": (TEXT, "SHA-256 of every fact in every split"),
    "model": (TEXT, "what the target was made from"),
    "target": (TEXT, "content key of the target, shared by all that one recipe trained independently"),
    "target_weights": (
        TEXT,
        "SHA-256 of the original model's weights, over all of several targets: with the same key another "
        "processor trains other ones; null if not known, or not the same for all cells of one target",
    ),
    "dtype": (TEXT, "number format of the weights"),
    "method": (TEXT, "name of the method; none, retrain and refusal are controls"),
    "method_source": (TEXT, "SHA-256 of the method's source; null as above"),
    "config": (TEXT, "settings that tell it from the same method's other rows; null if it has no others"),
    "attack": (TEXT, "name of the attack; none is the unlearned model before any attack"),
    "variant": (TEXT, "published setting of the attack"),
    "attack_source": (TEXT, "SHA-256 of the attack's source, empty before any attack; null as above"),
    "attack_config": (
        TEXT,
        "settings that tell it from the same attack's other rows; null if it has no others",
    ),
    "seeds": (INT, "cells that worked, one per seed"),
    "targets": (INT, "independently trained targets that these cells ran on"),
    "failed": (INT, "cells that failed"),
    "errors": (pa.list_(TEXT), "their errors"),
    "forget_metric": (TEXT, "the metric on the forget set that threshold, attacks and score look at"),
    "threshold": (FLOAT, "forget_metric at which unlearning stops; mean over seeds"),
    "threshold_high": (
        FLOAT,
        "highest forget_before of a seed that counts as forgotten: the threshold, or the upper end of its "
        "interval over facts where it is the twin's score; mean over seeds",
    ),
    "threshold_rule": (TEXT, "where the threshold comes from: the twin, chance, or a rule of the benchmark"),
    "forget_definition": (TEXT, "what that metric is, in a line; null where its benchmark does not say"),
    "forget_low_bound": (FLOAT, "least value that metric can take; null as above"),
    "forget_high_bound": (FLOAT, "highest value it can take; null as above"),
    **estimate("forget_before", "forget_metric after unlearning, before any attack; mean over seeds"),
    **estimate(
        "above_twin",
        "forget_before less the retrain twin's, by fact and seed; less chance where there is no twin",
    ),
    **estimate("retain_before", "the benchmark's retain metric after unlearning; mean over seeds"),
    **estimate("utility_before", "the benchmark's utility after unlearning; mean over seeds"),
    **estimate(
        "lm_eval",
        "mean over lm-eval tasks of acc_norm, acc or exact_match, before any attack, and over seeds",
    ),
    "lm_eval_original": (FLOAT, "the same of the original model, on the same items"),
    "lm_eval_tasks": (TEXT, "lm-eval's version, the tasks with version, few-shot and items, the limit; JSON"),
    **estimate(
        "kept",
        "least share of the original's retain, utility and lm-eval score (where measured) that is left",
        "95 % interval, over facts and seeds or over seeds",
    ),
    "kept_of": (TEXT, "which of the three that is: retain, utility or lm-eval"),
    "forgotten": (FLOAT, "share of seeds whose forget_before is at most threshold_high; null for controls"),
    "verdict": (
        TEXT,
        "what the numbers say: erased, partly hidden, hidden, not forgotten, damaged, below the twin, or "
        "undecided; null for controls",
    ),
    "verdict_why": (TEXT, "the numbers that decided it; null for controls"),
    "guard": (TEXT, "why the method is not ranked; null for controls and for methods that are"),
    "rank": (INT, "of the method by worst, ascending; equal in a tie group; null for what is not ranked"),
    "distinguishable_from": (
        pa.list_(TEXT),
        "ranked methods whose worst differs: paired tests, corrected over all pairs; null without rank",
    ),
    "better_overall": (
        pa.list_(TEXT),
        "methods that this one is better than over all benchmarks of the model together; null where it is "
        "not ranked on each of several",
    ),
    **estimate(
        "worst",
        "the method's highest score over the attacks of ranked_over",
        "95 % interval, of the highest of the true scores",
    ),
    "worst_attack": (TEXT, "the attack, its variant and settings"),
    "few_facts": (BOOL, "whether the worst score is of fewer than 30 facts, in the seed that scored fewest"),
    "ranked_over": (
        pa.list_(TEXT),
        "attacks that count in worst and rank: they measure what was measured before, and more than half of "
        "the target's methods were scored under them",
    ),
    **estimate(
        "recovered",
        "the method's highest recovery over the attacks that measure what was measured before, and leave at "
        "least half of what the original knows above the baseline in the original itself",
        "95 % interval, of the highest of the true shares",
    ),
    "recovered_attack": (TEXT, "the attack, its variant and settings"),
    **estimate(
        "score", "forget_metric after the attack: maximum over its checkpoints and rates, mean over seeds"
    ),
    "score_from_seeds": (
        FLOAT,
        "share of the variance of score that comes from seeds and their targets; the rest comes from facts",
    ),
    **estimate("exact_match", "share of forget answers reproduced word by word after the attack"),
    **estimate(
        "recovery",
        "(score - baseline) / (original's - baseline) under the same attack, by fact and seed",
        "95 % interval",
    ),
    "baseline": (
        TEXT,
        "what recovery is measured from: retrain, under the same attack, or chance where there is no twin",
    ),
    "n_scored": (INT, "facts scored, in the seed that scored fewest"),
    "chance": (
        FLOAT,
        "forget_metric of a model that knows the format and not the facts; null if the attack has none",
    ),
    "learning_rates": (pa.list_(FLOAT), "the method's chosen rates over the seeds, ascending"),
    "attack_learning_rates": (pa.list_(FLOAT), "the attack's best rates over the seeds, ascending"),
    "seconds": (FLOAT, "wall time of a cell of this row, mean over seeds"),
    "steps": (FLOAT, "optimiser steps of a cell of this row, mean over seeds"),
    "peak_memory_mib": (FLOAT, "highest memory in use over the seeds, MiB"),
    "hardware": (
        pa.list_(TEXT),
        "what the cells of this row ran on: accelerators, or else processors",
    ),
    "signature": (TEXT, "everything that identifies the row, to quote beside its numbers"),
}

OPTIONAL: Columns = {
    "badge": (
        TEXT,
        "who vouches for the row: self-reported is a claim of a submission, reproduced one of which "
        "maintainers made a part again, maintainer what they made themselves",
    ),
}
"""Columns that only some leaderboards have: those that hold submissions."""


def schema(columns: Columns) -> pa.Schema:
    """A schema that explains itself."""
    return pa.schema(
        [pa.field(name, kind, metadata={"description": says}) for name, (kind, says) in columns.items()]
    )


SCHEMA = schema(COLUMNS)

ESTIMATES = tuple(name for name in COLUMNS if f"{name}_low" in COLUMNS)
"""Columns that have an interval."""

TARGET = ("benchmark", "benchmark_config", "data", "model", "target", "dtype")
"""Columns that tell one target's rows from another's; a leaderboard never mixes protocols."""

METHOD = ("method", "config")
ATTACK = ("attack", "variant", "attack_config")
IDENTITY = ("protocol", *TARGET, *METHOD, *ATTACK)
"""Columns that say what a row measured."""

CONFIGS = tuple(name for name in IDENTITY if name.endswith("config"))
"""Those that hold settings, where a name alone would not tell rows apart."""

HASHES = ("data", "target")
NAMES = tuple(name for name in IDENTITY if name not in ("protocol", *CONFIGS, *HASHES))
"""Those that hold a name which a person gives on the command line."""
