"""Names with a fixed meaning: controls, stages of a cell, models by a word, lm-eval's aggregate."""

from __future__ import annotations

ORIGINAL, RETRAIN, REFUSAL = CONTROLS = ("none", "retrain", "refusal")
"""The methods every table carries: untouched, never taught, and hiding by construction."""

TINY = "tiny"
SMOLLM2 = "smollm2"
"""SmolLM2-135M-Instruct, from a package of pip."""

EVALUATION, UTILITY, ATTACK, ANALYSIS = STAGES = ("evaluation", "utility", "attack", "analysis")
"""What a cell does with an unlearned model: the benchmark's own metrics, lm-eval's tasks, an attack, or an
analysis. The metrics of lm-eval's tasks have the split ``utility``, too."""

NO_ATTACK = "none"
"""The attack of cells and rows that attack nothing, and in a selection no plugin at all."""

UTILITY_METRIC = ("all", "utility")
"""Split and metric of what a method left of the model: what a benchmark's ``aggregates`` call so."""

GRADIENT = "gradient"
"""Note of a cell: by aggregate, split and metric, how the aggregate moves with the metric's mean."""

SCORE = "utility_lm_eval"
"""lm-eval's aggregate: mean over the tasks asked for of the accuracy or exact match of each; in [0, 1]."""
