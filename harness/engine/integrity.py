"""The model and data of a cell as a plugin must leave them: compared before and after it runs.

A stage restores the weights and nothing else, so whatever else was changed would reach the stages after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from ..core.keys import splits_fingerprint
from ..errors import PluginError
from ..model import models
from .surroundings import Surroundings
from .under_test import ModelUnderTest

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PLAIN = (bool, int, float, str, tuple, type(None))
"""Types of a module's own attributes that are compared by value."""

GROWING = ("training", "max_seq_len_cached")
"""Attributes a model changes itself: the mode, which is compared apart, and the longest text so far."""

CONFIGURATIONS = ("config", "generation_config")

LONGEST = 120
"""Letters of two values that a message shows."""

PROBES = 32
"""Facts whose text says whether the tokenizer is as it was."""

FINITE = "Guard divisions and logarithms, or lower the step: weights hold NaN or inf."
MODEL = "Remove hooks and wrappers, set requires_grad and eval() back, and change job.model in place."
DATA = "Copy what is to be changed: facts, benchmark and tokenizer are shared by all that comes after."
PROCESS = "Leave torch's settings, the working directory and other modules as they are, or set them back."


class Tampered(PluginError):
    """A plugin changed what is not its own."""


@dataclass(frozen=True)
class Intact:
    """The state of process, data and model before a plugin runs; ``check`` looks at them again.

    ``process`` is taken before any code of plugins was imported.
    """

    subject: ModelUnderTest
    process: Surroundings
    model: dict[str, dict[str, Any]]
    data: dict[str, Any]

    @classmethod
    def of(cls, subject: ModelUnderTest, process: Surroundings) -> Intact:
        """The state now."""
        return cls(subject, process, anatomy(subject.model), data(subject))

    def check(self, who: str) -> None:
        """Raise Tampered with all that is different now, and how ``who`` mends it."""
        now = data(self.subject)
        found = {
            MODEL: differences(self.model, anatomy(self.subject.model)),
            DATA: [f"{name} changed" for name, was in self.data.items() if now[name] != was],
            PROCESS: self.process.changes(),
        }
        if sentences := [f"{'; '.join(changes)}. {fix}" for fix, changes in found.items() if changes]:
            raise Tampered(f"{who} left things other than it found them: {' '.join(sentences)}")


def check_finite(model: nn.Module, who: str) -> None:
    """Raise Tampered where a weight is no finite number: answers made of NaN would read as forgotten."""
    if names := not_finite(model):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise Tampered(f"{who} left weights that are not finite: {names[0]}{more}. {FINITE}")


def not_finite(model: nn.Module) -> list[str]:
    """Names of weights that hold NaN or infinity."""
    return [name for name, tensor in model.state_dict().items() if not models.whole(tensor.isfinite().all())]


def anatomy(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Everything about a model but its weights' numbers, by kind: to be equal before and after a plugin."""
    modules = dict(model.named_modules())
    parameters = dict(model.named_parameters())
    saved = model.state_dict().keys()
    return {
        "weights": {n: f"{tuple(t.shape)} {t.dtype}" for n, t in model.state_dict().items()},
        "modules": {name: type(module) for name, module in modules.items()},
        "parameters": dict.fromkeys(parameters, "there"),
        "hooks": {
            **{name: sum(len(getattr(module, h) or ()) for h in HOOKS) for name, module in modules.items()},
            **{name: len(parameter._backward_hooks or ()) for name, parameter in parameters.items()},
        },
        "patched functions": {
            name: sorted(n for n, v in vars(module).items() if callable(v) and hasattr(type(module), n))
            for name, module in modules.items()
        },
        "attributes": {
            f"{name}.{attribute}": value
            for name, module in modules.items()
            for attribute, value in vars(module).items()
            if isinstance(value, PLAIN) and not attribute.startswith("_") and attribute not in GROWING
        },
        "buffers": {name: models.digest(b) for name, b in model.named_buffers() if name not in saved},
        "requires_grad": {name: parameter.requires_grad for name, parameter in parameters.items()},
        "training mode": {name: module.training for name, module in modules.items()},
        "configuration": {
            name: part.to_dict() for name in CONFIGURATIONS if (part := getattr(model, name, None))
        },
    }


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """What of a model's anatomy has changed, with the first difference of each kind."""
    messages = []
    for what in before:
        # A weight or module that came or went is reported once, and not for its hooks and modes, too.
        named = what in ("weights", "modules", "parameters")
        names = {**before[what], **after[what]} if named else before[what].keys() & after[what].keys()
        differing = sorted(n for n in names if before[what].get(n) != after[what].get(n))
        if differing:
            first = differing[0]
            was, now = (_text(of[what].get(first, "absent")) for of in (before, after))
            more = f", and so at {len(differing) - 1} other places" if len(differing) > 1 else ""
            change = f" was {was} and is {now}" if len(was) + len(now) < LONGEST else " changed"
            messages.append(f"{what}: {first or 'the model'}{change}{more}")
    return messages


def _text(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


def data(subject: ModelUnderTest) -> dict[str, Any]:
    """By name, what says whether facts, benchmark, tokenizer and their functions are as they were."""
    tokens, tokenizer = subject.tokens, subject.tokens.tokenizer

    def functions(part: Any) -> dict[str, int]:
        """Those of an object's own that stand in front of its class's."""
        shadowed = (name for name in vars(part) if callable(getattr(type(part), name, None)))
        return {name: id(vars(part)[name]) for name in shadowed}

    facts = [fact for chosen in subject.splits.values() for fact in chosen][:PROBES]
    return {
        "the facts": splits_fingerprint(subject.splits),
        "the benchmark's settings": (
            subject.benchmark.config.model_dump_json(by_alias=True, warnings=False),
            {name: value for name, value in vars(subject.benchmark).items() if isinstance(value, PLAIN)},
        ),
        "the tokenizer": (
            len(tokenizer),
            str(tokenizer.chat_template),
            str(tokenizer.special_tokens_map),
            [tokenizer(f"{fact.question} {fact.answer}").input_ids for fact in facts],
        ),
        "the model under test": id(subject.model),
        **{
            f"a function of the {type(part).__name__}": functions(part)
            for part in (subject, subject.benchmark, tokens, tokenizer)
        },
    }
