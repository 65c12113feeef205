"""Influence: what unlearning took away of what carried the answers, and what it set against them."""

import numpy as np

from harness import Analysis, AnalysisConfig, Field, Finding, attribution

from ._facts import attributed, drawn


class Influence(Analysis):
    """What units lost of positive influence (D+, erasing), and grew of negative influence (D-, hiding).

    D+_i = max(0, 1/n sum_facts( max_k A_{theta,i,k} - max_k max(A_{theta',i,k}, 0) ))
    D-_i = max(0, 1/n sum_facts( min_k A_{theta,i,k} - min_k A_{theta',i,k} ))

    A_{i,k} = h_{i,k} dP(y|x)/dh_{i,k}, over the output units i of q, k, v, o, gate, up and down of each layer
    and the n forget facts; theta before, theta' after unlearning. Ssiuu (2509.22263, ICLR 2026), equations
    and figures of its analyses. Figures: ``cumulated``, the sums over the top m units by D+ and by D- (each
    has its own order); ``top100``, those at m = 100; ``map``, the mean of each map's top 100; ``share``,
    D- / (D+ + D-) over all units and over the top 100 of each; ``spurious``, the share of units whose
    influence was near zero or positive and became negative.

    Open, and chosen here: clipped is the mean over facts, not each fact; k runs over the tokens before the
    last; where there are fewer than 100 units, all count; negative influence is the mean of min_k A, and it
    is near zero or positive from -``near`` times the original's largest positive influence on, and negative
    below. All are in units of P: a model that was unsure of its answers has little influence to lose. A share
    of nothing is left out.
    """

    name = "influence"
    paper = "2509.22263"

    class Config(AnalysisConfig):
        facts: int | None = Field(None, ge=1, description="forget facts, drawn at random; None: all")
        near: float = Field(
            0.01, gt=0, description="near zero: share of the original's largest positive influence"
        )
        points: int = Field(60, ge=2, description="ranks m of the curves, evenly spread on a log scale")

    def analyse(self, job):
        """Attribute the forget facts in both models, and compare."""
        facts = drawn(job.forget, self.config.facts, job.random("influence"))
        with job.original():
            before = attributed(job, facts, "the original")
        with job.unlearned():
            after = attributed(job, facts, "the unlearned model")
        plus = attribution.positive_decrease(before, after)
        minus = attribution.negative_growth(before, after)
        for series, d in (("D+", plus), ("D-", minus)):
            sums = d.sort(descending=True).values.cumsum(dim=0)
            for m in ranks(len(d), self.config.points):
                yield Finding("cumulated", series, sums[m - 1].item(), x=float(m))
            yield Finding("top100", series, top(d).sum().item(), x=100.0)
            for output, part in before.parts():
                mean = top(d[part]).mean().item()
                yield Finding("map", series, mean, layer=output.layer, module=output.module)
        for series, p, q in (("all", plus, minus), ("top 100", top(plus), top(minus))):
            if (total := (p.sum() + q.sum()).item()) > 0:
                yield Finding("share", series, q.sum().item() / total)
        near = self.config.near * before.highest.max().item()
        spurious = ((before.lowest >= -near) & (after.lowest < -near)).double()
        yield Finding("spurious", "all", spurious.mean().item())
        for output, part in before.parts():
            yield Finding(
                "spurious", "", spurious[part].mean().item(), layer=output.layer, module=output.module
            )


def ranks(units, points):
    """Ranks from 1 to ``units``, at most ``points`` of them, evenly spread on a log scale."""
    return np.unique(np.geomspace(1, units, points).round().astype(int)).tolist()


def top(d, count=100):
    """The highest 100, or all where there are fewer."""
    return d.topk(min(count, len(d))).values
