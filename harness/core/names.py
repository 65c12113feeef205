"""Names with a fixed meaning: the controls, the embedded model, lm-eval's split and aggregate."""

from __future__ import annotations

CONTROLS = ("none", "retrain", "refusal")
"""The methods every table carries: untouched, never taught, and hiding by construction."""

TINY = "tiny"

LABEL = "utility"
"""Split of the tasks' metrics, and variant of the cells that hold them; their attack is ``none``."""

SCORE = "utility_lm_eval"
"""The aggregate: mean over the tasks asked for of each one's first metric in ``PRIMARY``; in [0, 1]."""
