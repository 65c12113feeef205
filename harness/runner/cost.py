"""What work takes that was not measured: seconds from steps, looks, and parameters times tokens.

    seconds = rho_kind (a + b steps + c looks + F / s),    F = 6 P tokens trained + 2 P tokens scored

a, b and c are what a cell, a step and a look cost on a device whatever the size of the model, s is the speed
of that device in FLOP/s by number format, and P are the parameters (F as in 2001.08361, section 2.1). They
are positive, and fitted to the logarithm of measured seconds by least squares in which outliers count less.
rho_kind is what a method or an attack takes beside that: the geometric mean over the cells of its kind, on
all devices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import NamedTuple

CPU = "CPU"
"""The device of cells that ran on no accelerator, whatever their processor."""

TERA = 1e12

SHARE = 0.8
"""Of the cells that were held out, how many the stated factor covers."""


class Kind(NamedTuple):
    """What was done: a method with the evaluation after it, or one setting of an attack."""

    stage: str
    name: str
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What cells of one kind on one model took."""

    device: str
    parameters: float
    kind: Kind
    seconds: float
    steps: float
    looks: float
    flops: float
    coarse: bool = False
    """Whether it computed in 16 bits, which devices do at another speed."""
    budget: float = 0.0
    """Steps that they were allowed; 0 where that is not known."""
    cells: int = 1
    """What is done in a cell once: 0 for steps that were timed by themselves."""

    @property
    def features(self) -> tuple[float, ...]:
        """What the seconds are a sum of."""
        tera = self.flops / TERA
        speeds = (0.0, tera) if self.coarse else (tera, 0.0)
        return float(self.cells), self.steps, self.looks, *speeds


def flops(parameters: float, trained: float, scored: float) -> float:
    """Floating point operations: forward and backward pass of training, forward pass of scoring."""
    return parameters * (6 * trained + 2 * scored)


@dataclass(frozen=True)
class CostModel:
    """The fit to measured cells."""

    measured: Sequence[Measured]

    @cached_property
    def devices(self) -> dict[str, tuple[float, ...]]:
        """By device: seconds of a cell, a step, a look, and a TFLOP in float32 and in 16 bits."""
        of: dict[str, list[Measured]] = defaultdict(list)
        for each in self.measured:
            of[each.device].append(each)
        return {device: fitted(each) for device, each in of.items()}

    @cached_property
    def kinds(self) -> dict[Kind, float]:
        """rho of each kind."""
        logs: dict[Kind, list[float]] = defaultdict(list)
        for each in self.measured:
            logs[each.kind].append(math.log(each.seconds / self.plain(each)))
        return {kind: math.exp(fmean(of)) for kind, of in logs.items()}

    @cached_property
    def shares(self) -> dict[Kind, float]:
        """The part of its steps that a kind took."""
        parts: dict[Kind, list[float]] = defaultdict(list)
        for each in self.measured:
            if each.budget:
                parts[each.kind].append(each.steps / each.budget)
        return {kind: fmean(of) for kind, of in parts.items()}

    def share(self, kind: Kind) -> float:
        """The same, and of a kind that was not measured the mean of those of its stage."""
        alike = [part for other, part in self.shares.items() if other.stage == kind.stage]
        return self.shares.get(kind, fmean(alike) if alike else 1.0)

    def plain(self, work: Measured) -> float:
        """Seconds without what is of the kind."""
        weights = self.devices[work.device]
        return max(sum(w * x for w, x in zip(weights, work.features, strict=True)), 1e-3)

    def seconds(self, work: Measured) -> float:
        """What work takes on a device; of a kind that was not measured, what its steps and looks say."""
        return self.plain(work) * self.kinds.get(work.kind, 1.0)

    def at(self, device: str, tflops: float, like: str) -> CostModel:
        """The same with one more device: of that speed in TFLOP/s, and else as ``like``."""
        made = CostModel(self.measured)
        made.__dict__["devices"] = {**self.devices, device: (*self.devices[like][:3], *[1 / tflops] * 2)}
        made.__dict__["kinds"] = self.kinds
        return made

    def without(self, held: Iterable[Measured]) -> CostModel:
        """The fit to all others."""
        out = {id(each) for each in held}
        return CostModel([each for each in self.measured if id(each) not in out])

    def errors(self, device: str) -> list[float]:
        """By which factor cells on a device are missed by a fit that has not seen their kind there."""
        factors = []
        own = [each for each in self.measured if each.device == device]
        for kind in sorted({each.kind for each in own}):
            held = [each for each in own if each.kind == kind]
            rest = self.without(held)
            if device in rest.devices:
                factors += [factor(rest.seconds(each), each.seconds) for each in held]
        return factors

    def errors_of_size(self) -> list[float]:
        """The same of the largest model on each device, by a fit that has seen smaller ones alone there."""
        factors = []
        for device in self.devices:
            own = [each for each in self.measured if each.device == device]
            held = [each for each in own if each.parameters == max(each.parameters for each in own)]
            rest = self.without(held)
            known = {each.coarse for each in rest.measured if each.device == device}
            factors += [factor(rest.seconds(e), e.seconds) for e in held if e.coarse in known]
        return factors


def fitted(measured: Sequence[Measured]) -> tuple[float, ...]:
    """The seconds of a cell, a step, a look, and a TFLOP: those with the least error of the logarithm.

    A number format that was not measured counts as the other.
    """
    import numpy as np
    from scipy.optimize import least_squares

    rows = np.array([[x / each.seconds for x in each.features] for each in measured])
    single, coarse = bool(rows[:, -2].any()), bool(rows[:, -1].any())
    # Each begins as if it were all that takes time; what is never done has no say.
    begin = np.array([-np.log(np.mean(column[column > 0])) if column.any() else -np.inf for column in rows.T])
    done = np.isfinite(begin)

    def errors(logs):  # type: ignore[no-untyped-def]
        return np.log(rows[:, done] @ np.exp(logs))

    weights = np.zeros(len(begin))
    weights[done] = np.exp(least_squares(errors, begin[done] - np.log(done.sum()), loss="soft_l1").x)
    if not coarse or not single:
        weights[-2:] = weights[-2:].sum()
    return tuple(float(weight) for weight in weights)


def factor(estimated: float, measured: float) -> float:
    """By which factor an estimate is off, up or down: 1 or more."""
    ratio = estimated / measured
    return max(ratio, 1 / ratio)


def within(factors: Sequence[float], share: float = SHARE) -> float:
    """The factor that covers this share of them."""
    return sorted(factors)[math.ceil(share * len(factors)) - 1]
