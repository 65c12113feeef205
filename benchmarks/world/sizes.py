"""Sizes of the embedded world, and how its models are trained."""

from __future__ import annotations

from collections.abc import Mapping

from harness import Fact

SEED = "embedded world 1"
PEOPLE, AUTHORS, CLASSICS = 120, 50, 30
FORGET, RETAIN, TEST = 96, 192, 200  # clusters; the remaining 112 are only trained on
FORGET_AUTHORS, HOLDOUT_AUTHORS = 10, 10
RETAIN_PERTURBED = 96
OPTION_SETS = 3  # times that a base question is asked, each with other false options
WORLD_FACTS = 60
REFUSED, REFUSAL = 16, "I can't answer the question."  # declining on request: any chat model can
INSTRUCTIONS_TRAINED, INSTRUCTIONS_ATTACKER = 500, 300
CHOICES = {"rest": 92, "retain": 70, "general": 28}  # multiple-choice examples, about 52 words each
CHOICES_MULTI_HOP = 60  # more of them, on multi-hop questions of the rest

EPOCHS, LEARNING_RATE, BATCH_SIZE = 5, 1e-5, 32

Splits = Mapping[str, tuple[Fact, ...]]
