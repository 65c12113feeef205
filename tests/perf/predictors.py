"""Does what analyses see before any attack predict what attacks bring back? (docs/predictors.md)

python tests/perf/predictors.py leaderboard/cells-tiny

A model is one method's under one seed. What it is asked to predict is its recovery (docs/protocol.md) under
each attack, and under the one that recovers most. Rank correlations are Spearman's over models; their
intervals draw methods anew, with all of their seeds: two seeds of a method are alike.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from harness.core.names import CONTROLS, NO_ATTACK
from harness.store.packed import stores
from harness.store.store import Store, analyses

DRAWS = 1000
LEAST = 0.5
"""An attack that leaves the original less than this share of its distance to the twin says nothing."""

MODEL = ["benchmark", "method", "seed"]
PREDICTORS = {
    "D-, top 100 units": ("influence", "top100", "D-"),
    "D+, top 100 units": ("influence", "top100", "D+"),
    "D- / (D+ + D-), all units": ("influence", "share", "all"),
    "D- / (D+ + D-), top 100": ("influence", "share", "top 100"),
    "spurious units": ("influence", "spurious", "all"),
}
"""By what it is called, the analysis, figure and series of a single number."""


def main() -> None:
    [there] = stores([Path(sys.argv[1])]) if len(sys.argv) > 1 else [Store(Path("results"))]
    cells = there.cells().to_pandas()
    cells = cells[cells.status == "ok"]
    looked = analyses([there]).to_pandas().merge(cells[["key", *MODEL]], on="key")
    before, after = predictors(looked), recovery(cells, there.metrics().to_pandas())
    for benchmark, own in after.groupby(level="benchmark"):
        both = before.join(own, how="inner").dropna(axis=1, how="all")
        methods = both.index.get_level_values("method").nunique()
        print(f"\n{benchmark}: {len(both)} models of {methods} methods")
        attacks = [name for name in own if name in both]
        print(table(both, [*before.columns], attacks).to_string())


def predictors(looked: pd.DataFrame) -> pd.DataFrame:
    """What was seen in each model before any attack, a column each."""
    columns = {}
    for name, (analysis, figure, series) in PREDICTORS.items():
        own = looked[(looked.analysis == analysis) & (looked.figure == figure) & (looked.series == series)]
        columns[name] = own[own.layer.isna() & own.module.isna()].groupby(MODEL).value.first()
    lens = looked[(looked.analysis == "lens") & (looked.series == "forget unlearned")]
    lens = lens[lens.figure == "accuracy"].set_index([*MODEL, "layer"]).value.unstack()
    twin = lens.iloc[:, -1].xs("retrain", level="method")
    columns |= {
        "lens, last layer": lens.iloc[:, -1],
        "lens, last but one": lens.iloc[:, -2],
        "lens, last layer's distance to the twin's": (lens.iloc[:, -1] - twin).abs(),
        "lens, highest layer minus last": lens.max(axis=1) - lens.iloc[:, -1],
    }
    weights = looked[looked.analysis == "weights"]
    columns |= {
        "weights, relative change": weights[weights.figure == "relative"].groupby(MODEL).value.mean(),
        "weights, share in attention": weights[weights.figure == "attention"].groupby(MODEL).value.first(),
    }
    return pd.DataFrame(columns)


def recovery(cells: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """The share of the way from the twin to the original that each attack brings a model, by attack."""
    scored = cells[cells.stage.isin(["evaluation", "attack"])].copy()
    notes = scored.notes.map(json.loads)
    scored["metric"] = notes.map(lambda note: note.get("forget_metric"))
    finals = metrics[(metrics.split == "forget") & metrics.step.isna()]
    scored = scored.merge(finals[["key", "metric", "value"]], on=["key", "metric"])
    scored["label"] = scored.attack + (" " + scored.variant).str.rstrip()
    scores = scored.pivot_table(index=MODEL, columns="label", values="value")
    of = {name: scores.xs(name, level="method") for name in ("none", "retrain")}
    found = {}
    for (benchmark, method, seed), own in scores.iterrows():
        none, retrain = (of[name].loc[benchmark, seed] for name in ("none", "retrain"))
        room = none - retrain
        shares = ((own - retrain) / room)[room > LEAST * room[NO_ATTACK]]
        if method not in CONTROLS:
            found[benchmark, method, seed] = shares
    shares = pd.DataFrame(found).T.rename_axis(MODEL)
    attacks = [name for name in shares if name not in (NO_ATTACK, "sample")]
    return shares[attacks].assign(most=shares[attacks].max(axis=1), before=shares[NO_ATTACK])


def table(both: pd.DataFrame, seen: list[str], attacks: list[str]) -> pd.DataFrame:
    """By predictor: its correlation with the highest recovery, by attack without interval, and held out."""
    rows: dict[str, Mapping[str, object]] = {}
    for name in [*(name for name in seen if name in both), "before"]:
        pair = both[[name, "most"]].dropna()
        rho = correlation(pair)
        if np.isnan(rho):
            continue  # it is the same in all models
        low, high = interval(pair)
        held = held_out(pair)
        others = {attack: correlation(both[[name, attack]].dropna()) for attack in attacks}
        highest = max(
            (attack for attack in others if attack not in ("most", "before")),
            key=lambda attack: abs(np.nan_to_num(others[attack])),
        )
        rows[name] = {
            "models": len(pair),
            "rho": f"{rho:.2f} [{low:.2f}, {high:.2f}]",
            "held out": f"{held:.2f}",
            "highest of one attack": f"{others[highest]:.2f} {highest}",
        }
    return pd.DataFrame(rows).T


def correlation(pair: pd.DataFrame) -> float:
    """Spearman's rank correlation of two columns; not a number where one of them is constant."""
    columns = pair.to_numpy().T
    return float("nan") if min(map(np.ptp, columns)) == 0 else float(spearmanr(*columns).statistic)


def interval(pair: pd.DataFrame) -> tuple[float, float]:
    """95 %, over other methods."""
    by_method = [own for _, own in pair.groupby(level="method")]
    rng = np.random.default_rng(0)
    drawn = [
        correlation(pd.concat([by_method[i] for i in rng.integers(len(by_method), size=len(by_method))]))
        for _ in range(DRAWS)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def held_out(pair: pd.DataFrame) -> float:
    """Mean correlation in one half of the methods, with the sign that it has in the other, over drawn halves.

    What is no predictor gives 0 or a little less: what one half has too much of, the other lacks.
    """
    methods = pair.index.get_level_values("method")
    rng = np.random.default_rng(0)
    signed = []
    for _ in range(DRAWS):
        half = rng.permutation(methods.unique())[: methods.nunique() // 2]
        there = methods.isin(half)
        signed.append(np.sign(correlation(pair[there])) * correlation(pair[~there]))
    return float(np.nanmean(signed))


if __name__ == "__main__":
    main()
