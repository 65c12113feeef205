"""The columns of the leaderboard, each with its meaning."""

from __future__ import annotations

import pyarrow as pa

EXACT = ("forget", "exact_match")

FLOAT, INT, TEXT = pa.float64(), pa.int64(), pa.string()
COLUMNS = {
    "protocol": (TEXT, "version of the measurement; a leaderboard never mixes two"),
    "benchmark": (TEXT, "name of the benchmark"),
    "benchmark_config": (
        TEXT,
        "settings that tell it from the same benchmark's other rows; null if it has no others",
    ),
    "data": (TEXT, "SHA-256 of every fact in every split"),
    "model": (TEXT, "what the target was made from"),
    "target": (TEXT, "content key of the target"),
    "dtype": (TEXT, "number format of the weights"),
    "method": (TEXT, "name of the method; none, retrain and refusal are controls"),
    "config": (TEXT, "settings that tell it from the same method's other rows; null if it has no others"),
    "attack": (TEXT, "name of the attack; none is the unlearned model before any attack"),
    "variant": (TEXT, "published setting of the attack"),
    "attack_config": (
        TEXT,
        "settings that tell it from the same attack's other rows; null if it has no others",
    ),
    "seeds": (INT, "cells that worked, one per seed"),
    "failed": (INT, "cells that failed"),
    "errors": (pa.list_(TEXT), "their errors"),
    "forget_metric": (TEXT, "the metric on the forget set that threshold, attacks and score look at"),
    "forget_before": (FLOAT, "forget_metric after unlearning, before any attack; mean over seeds"),
    "forget_before_low": (FLOAT, "lower end of its 95 % interval over facts and seeds"),
    "forget_before_high": (FLOAT, "upper end of it"),
    "retain_before": (FLOAT, "the benchmark's retain metric after unlearning; mean over seeds"),
    "utility_before": (FLOAT, "the benchmark's utility after unlearning; mean over seeds"),
    "lm_eval": (
        FLOAT,
        "mean over lm-eval tasks of acc_norm, acc or exact_match, before any attack, and over seeds",
    ),
    "lm_eval_original": (FLOAT, "the same of the original model, on the same items"),
    "lm_eval_tasks": (TEXT, "lm-eval's version, the tasks with version, few-shot and items, the limit; JSON"),
    "forgotten": (FLOAT, "share of seeds whose forget_before is at or below the forgetting threshold"),
    "guard": (TEXT, "why the method is not ranked; null for controls and for methods that are"),
    "rank": (INT, "of the method by worst, ascending; equal in a tie group; null for what is not ranked"),
    "distinguishable_from": (
        pa.list_(TEXT),
        "ranked methods whose worst differs: paired tests, Holm-corrected over all pairs; null without rank",
    ),
    "worst": (
        FLOAT,
        "the method's highest score over the attacks that measure what was measured before",
    ),
    "worst_low": (FLOAT, "lower end of its 95 % interval, of the highest of the true scores"),
    "worst_high": (FLOAT, "upper end of it"),
    "worst_attack": (TEXT, "the attack, its variant and settings"),
    "score": (
        FLOAT,
        "forget_metric after the attack: maximum over its checkpoints and rates, mean over seeds",
    ),
    "score_low": (FLOAT, "lower end of its 95 % interval over facts and seeds"),
    "score_high": (FLOAT, "upper end of it"),
    "exact_match": (FLOAT, "share of forget answers reproduced word by word after the attack"),
    "exact_match_low": (FLOAT, "lower end of its 95 % interval over facts and seeds"),
    "exact_match_high": (FLOAT, "upper end of it"),
    "recovery": (
        FLOAT,
        "(score - retrain's) / (original's - retrain's) under the same attack, by fact and seed",
    ),
    "recovery_low": (FLOAT, "lower end of its 95 % interval"),
    "recovery_high": (FLOAT, "upper end of it"),
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
    "signature": (TEXT, "everything that identifies the row, to quote beside its numbers"),
}
SCHEMA = pa.schema([pa.field(n, kind, metadata={"description": d}) for n, (kind, d) in COLUMNS.items()])
