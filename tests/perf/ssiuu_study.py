"""Does Ssiuu's regulariser keep knowledge from coming back? Its settings, chosen and reported on other facts.

    harness run --plugin tests/perf/ssiuu_study.py --model smollm2 --frame plain --benchmarks countries \
        --set countries.forget=64 --methods gd,gd-slow,ssiuu,ssiuu-... --attacks private-data --results DIR
    python tests/perf/ssiuu_study.py --methods          # all names, with commas
    python tests/perf/ssiuu_study.py DIR [DIR ...]      # the tables of docs/methods/ssiuu.md

As a plugin: gradient difference and Ssiuu at every setting in question, each under a name that says it.
As a script: what a tenth and a third of the facts bring back after each. All methods stop at the same forget
score. The facts, by country, are halved by a hash. On one half the setting is chosen under which the fewest
facts come back, among those whose models forgot and kept nine tenths of the retained facts; on the other it
is held against gd of the same optimiser, fact by fact: differences are averaged over seeds and attacks within
a country and tested over countries (paired t test), and p is corrected for the settings reported (Holm).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from harness.methods.gd import GradientDifference
from harness.methods.ssiuu import Ssiuu
from pydantic import create_model
from scipy import stats

from harness import hookimpl
from harness.store.packed import opened

RATES = {"adamw": None, "sgd": (1e-3, 3e-3, 1e-2)}
"""Learning rates: of AdamW those of the model's size."""

STRENGTHS: dict[tuple[str, str, str], dict[str, tuple[float, ...]]] = {
    ("adamw", "probability", "previous"): {"lambda_": (1.0,), "ratio": (10, 100, 300, 1000)},
    ("adamw", "log-probability", "previous"): {
        "lambda_": (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        "ratio": (10, 100, 300, 1000),
    },
    ("adamw", "probability", "original"): {"ratio": (300,)},
    ("adamw", "log-probability", "original"): {"lambda_": (1e-3, 1e-2), "ratio": (100, 300, 1000)},
    ("sgd", "probability", "previous"): {"lambda_": (1e-3, 1.0), "ratio": (1, 10)},
    ("sgd", "log-probability", "previous"): {"lambda_": (1e-4, 1e-3, 1e-2), "ratio": (0.3, 1, 3, 10)},
    ("sgd", "log-probability", "original"): {"ratio": (1, 3)},
}
"""By optimiser, what the influence is of, and anchor: lambda, or the ratio of the gradients' lengths."""

KEPT = 0.9
"""Least share of the original's retain score of a setting that can be chosen."""


def variant(base: type, name: str, says: str, **settings: Any) -> type:
    """A method that is another one with other defaults, under a name of its own."""
    fields: dict[str, Any] = {}
    for key, value in settings.items():
        info = base.Config.model_fields[key]  # type: ignore[attr-defined]
        fields[key] = (info.annotation, type(info).merge_field_infos(info, default=value))
    config = create_model("Config", __base__=base.Config, **fields)  # type: ignore[attr-defined]
    return type(name, (base,), {"name": name, "Config": config, "__doc__": says, "__module__": __name__})


def variants() -> Iterator[type]:
    """Gradient difference under both optimisers and in many small steps, and Ssiuu at every setting."""
    slow = {"learning_rates": (1e-5, 2e-5), "epochs": 120}
    yield variant(GradientDifference, "gd-slow", "Gradient difference in small steps.", **slow)
    sgd = {"optimizer": "sgd", "learning_rates": RATES["sgd"]}
    yield variant(GradientDifference, "gd-sgd", "Gradient difference by plain descent.", **sgd)
    for (optimizer, influence, anchor), strengths in STRENGTHS.items():
        for kind, values in strengths.items():
            for value in values:
                settings = {"optimizer": optimizer, "influence": influence, "anchor": anchor, kind: value}
                if RATES[optimizer]:
                    settings["learning_rates"] = RATES[optimizer]
                strength = f"{value:.0e}".replace("e-0", "e-") if value < 1 else f"{value:g}"
                parts = [
                    "ssiuu",
                    optimizer,
                    influence.replace("probability", "p"),
                    kind.rstrip("_") + strength,
                ]
                name = "-".join(parts + (["original"] if anchor == "original" else []))
                yield variant(Ssiuu, name, "Ssiuu at another setting.", **settings)


METHODS = {cls.name: cls for cls in variants()}  # type: ignore[attr-defined]


@hookimpl
def register_methods(register: Any) -> None:
    """Hand the methods to the harness."""
    for name, cls in METHODS.items():
        register(name, cls)


@dataclass
class Found:
    """A method: by (seed, attack, fact) its score under attack, and by seed its evaluation."""

    attacked: dict[tuple[int, str, str], float] = field(default_factory=dict)
    evaluations: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def forgot(self) -> int:
        """Seeds whose model forgot."""
        return sum(notes["forgotten"] for notes in self.evaluations.values())

    def mean_of(self, name: str) -> float:
        """Mean over seeds of a number before any attack; NaN where there is none."""
        values = [notes[name] for notes in self.evaluations.values() if notes.get(name) is not None]
        return mean(values) if values else math.nan

    def score(self, half: int) -> float:
        """Mean score under attack of the facts of a half."""
        return mean(value for (_, _, fact), value in self.attacked.items() if half_of(fact) == half)


def half_of(fact: str) -> int:
    """0 or 1 by the fact's country: the end of its name in the benchmark."""
    return hashlib.sha256(fact.rpartition("-")[2].encode()).digest()[0] % 2


def read(directories: list[Path]) -> dict[str, Found]:
    """What results hold, by method."""
    found: dict[str, Found] = defaultdict(Found)
    for directory in directories:
        store = opened(directory)
        for key, cell in store.stored().items():
            (row,) = cell.row.to_pylist()
            if row["status"] != "ok":
                print(f"failed: {row['method']} seed {row['seed']} {row['stage']}: {row['error_message']}")
                continue
            metrics, samples, _ = (table.to_pylist() for table in store.numbers(key))
            method, notes = found[row["method"]], json.loads(row["notes"])
            if row["stage"] == "evaluation":
                final = {(m["split"], m["metric"]): m["value"] for m in metrics if m["step"] is None}
                retain, metric = tuple(notes["retain_metric"]), notes["forget_metric"]
                notes |= {"retain": final[retain], "forget": final["forget", metric]}
                method.evaluations[row["seed"]] = notes
                continue
            for sample in samples:
                if (sample["split"], sample["metric"]) == ("forget", notes["forget_metric"]):
                    place = row["seed"], f"{row['attack']} {row['variant']}", sample["fact_id"]
                    method.attacked[place] = sample["value"]
    return dict(found)


def against(one: Found, base: Found, half: int) -> tuple[float, float, float, int]:
    """Mean difference on a half with half its 95 % interval, p, and how many countries decide it."""
    by_country: dict[str, list[float]] = defaultdict(list)
    for place in one.attacked.keys() & base.attacked.keys():
        if half_of(place[2]) == half:
            by_country[place[2].rpartition("-")[2]].append(one.attacked[place] - base.attacked[place])
    differences = [mean(values) for values in by_country.values()]
    test = stats.ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(0.95)
    return mean(differences), (high - low) / 2, float(test.pvalue), len(differences)


def holm(values: list[float]) -> list[float]:
    """p values corrected for their number (Holm 1979)."""
    corrected, most = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        most = max(most, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = most
    return corrected


def table(found: dict[str, Found]) -> Iterator[str]:
    """Every method: before attacks, what comes back of either half, and on the reporting one against gd."""
    differences = {name: against(found[name], found["gd"], 1) for name in found if name != "gd"}
    corrected = dict(zip(differences, holm([each[2] for each in differences.values()]), strict=True))
    columns = ("steps", "forget", "retain", "ratio", "share", "choosing", "reporting", "against gd", "p")
    yield f"| method | {' | '.join(columns)} |"
    yield "| --- " * (1 + len(columns)) + "|"
    for name, method in found.items():
        ratio, share = method.mean_of("regulariser_ratio"), method.mean_of("regulariser_share")
        noted = "– | –" if math.isnan(ratio) else f"{float(f'{ratio:.2g}'):,g} | {share:.2g}"
        seeds = "" if method.forgot == len(method.evaluations) else f" ({method.forgot} of 3 seeds)"
        tested = "– | –"
        if name in differences:
            tested = f"{said(*differences[name][:2])} | {corrected[name]:.2g}"
        yield (
            f"| {name} | {method.mean_of('steps'):.0f} | {method.mean_of('forget'):.2f}{seeds} "
            f"| {method.mean_of('retain'):.3f} | {noted} "
            f"| {method.score(0):.3f} | {method.score(1):.3f} | {tested} |"
        )


def said(difference: float, half: float) -> str:
    """A difference with half its interval."""
    return f"{difference:+.3f} ± {half:.3f}"


def chosen(found: dict[str, Found]) -> str:
    """The setting under which the fewest facts of the choosing half come back."""
    fit = [
        name
        for name, method in found.items()
        if name.startswith("ssiuu-")
        and method.forgot == len(method.evaluations)
        and method.mean_of("retain") >= KEPT
    ]
    return min(fit, key=lambda name: found[name].score(0))


def main() -> None:
    """Print the names, or the table and the three tests that were planned."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", action="store_true")
    parser.add_argument("results", nargs="*", type=Path)
    asked = parser.parse_args()
    if asked.methods:
        print(",".join(METHODS))
        return
    found = read(asked.results)
    found = {name: found[name] for name in ["gd", *METHODS] if name in found}
    print(*table(found), "", sep="\n")
    best = chosen(found)
    for name, base in ((best, "gd"), (best, "gd-slow"), ("gd-slow", "gd")):
        difference, half, p, n = against(found[name], found[base], 1)
        print(f"{name} against {base}: {said(difference, half)}, p = {p:.2g}, {n} countries")


if __name__ == "__main__":
    main()
