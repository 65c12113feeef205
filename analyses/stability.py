"""Stability: does an attack change what units do to the answers?"""

import numpy as np
from scipy import stats

from harness import Analysis, AnalysisConfig, Field, Finding

from ._facts import attributed, drawn


class Stability(Analysis):
    """Correlation of each unit's attribution before an attack with that after it.

    r( 1/n sum_facts max_k A_{theta',i,k},  1/n sum_facts max_k A_{theta'',i,k} )   over units i

    theta' is the unlearned model, theta'' the same after the attack, at its best checkpoint; A as in
    `influence`. Ssiuu (2509.22263, ICLR 2026) reports .73 for GA, .87 for NPO and .99 for its own method:
    what is erased and not hidden stays where it is. Figures: ``pearson``, ``spearman``, and ``spread``, the
    standard deviation of the difference over the larger of both sides' own (0: nothing moved); of all units,
    and of each map. Series ``positive`` has max_k, ``negative`` min_k. ``scatter`` has some units, x before
    and value after.

    Open, and chosen here: which extreme over tokens is correlated, and by which coefficient (both of both are
    given); that facts come in by their mean, so that those which the model answers with a high P weigh most.
    A correlation where one side does not vary is left out.
    """

    name = "stability"
    paper = "2509.22263"
    attacked = True

    class Config(AnalysisConfig):
        facts: int | None = Field(None, ge=1, description="forget facts, drawn at random; None: all")
        points: int = Field(500, ge=2, le=500, description="points of the scatter, half of each series")

    def analyse(self, job):
        """Attribute the forget facts before and after the attack, and correlate."""
        facts = drawn(job.forget, self.config.facts, job.random("stability"))
        with job.unlearned():
            before = attributed(job, facts, "the unlearned model")
        with job.attacked():
            after = attributed(job, facts, "the attacked model")
        units = [output for output in before.outputs for _ in range(len(output))]
        count = min(self.config.points // 2, len(units))
        chosen = sorted(job.random("stability", "scatter").sample(range(len(units)), count))
        for series, x, y in (
            ("positive", before.highest.numpy(), after.highest.numpy()),
            ("negative", before.lowest.numpy(), after.lowest.numpy()),
        ):
            yield from agreement(series, x, y)
            for output, part in before.parts():
                yield from agreement(series, x[part], y[part], layer=output.layer, module=output.module)
            for i in chosen:
                yield Finding("scatter", series, float(y[i]), float(x[i]), units[i].layer, units[i].module)


def agreement(series, x, y, **where):
    """Pearson and Spearman correlation and relative spread, as far as the sides vary."""
    scale = max(np.abs(x).max(), np.abs(y).max())
    if np.ptp(x) > 0 or np.ptp(y) > 0:
        deviation = max(np.std(x / scale), np.std(y / scale))
        yield Finding("spread", series, float(np.std(y / scale - x / scale) / deviation), **where)
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        x, y = x / np.abs(x).max(), y / np.abs(y).max()  # the square of a probability may be below float64
        yield Finding("pearson", series, float(np.corrcoef(x, y)[0, 1]), **where)
        yield Finding("spearman", series, float(stats.spearmanr(x, y).statistic), **where)
