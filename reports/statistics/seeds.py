"""What the seeds of a variant say together.

Two protocols stand side by side. *Mean over seeds* with the sample standard deviation is what a comparison rests on.
*Best on dev* is the paper's: of all seeds the one with the best score on dev, and its score on test; it is a single
trial, so it has no spread, and with more seeds it rises on dev by selection alone. This file imports no pandas, and of
scipy one function where an interval is asked for, as the tracker calls it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.records import StudyResults, TrialResult

LEVEL = 0.95
"""Of the intervals of `Spread`."""


@dataclass(frozen=True)
class Spread:
    """One metric over seeds. `None` is undefined: of no seed all are, of one seed `sd` is."""

    n: int
    mean: float | None
    sd: float | None
    """Sample standard deviation: divided by n - 1."""
    min: float | None
    max: float | None

    @property
    def low(self) -> float | None:
        """Lower end of the interval of the mean, mean - t(n - 1) * sd / sqrt(n) at `LEVEL`; `None` of fewer than two.

        It covers the mean over all seeds that might have been, on these documents, if scores spread normally. Two
        intervals that overlap do not show that two variants are alike: `family` compares them.
        """
        half = self._half_width()
        return None if half is None or self.mean is None else self.mean - half

    @property
    def high(self) -> float | None:
        """Upper end of the interval of which `low` is the lower one."""
        half = self._half_width()
        return None if half is None or self.mean is None else self.mean + half

    def _half_width(self) -> float | None:
        if self.sd is None:
            return None
        from scipy.special import stdtrit  # here, so that the tracker loads it only if it asks for an interval

        return float(stdtrit(self.n - 1, (1 + LEVEL) / 2)) * self.sd / math.sqrt(self.n)


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation and range of a metric over seeds."""
    scores = np.asarray(values, dtype=np.float64)
    n = len(scores)
    if n == 0:
        return Spread(0, None, None, None, None)
    sd = float(scores.std(ddof=1)) if n > 1 else None
    return Spread(n, float(scores.mean()), sd, float(scores.min()), float(scores.max()))


def spreads(results: StudyResults) -> dict[str, dict[str, Spread]]:
    """Variant → metric → spread over the finished trials, of every metric that one of them has."""
    found = {}
    for variant in results.variants:
        trials = results.finished(variant.name)
        names = dict.fromkeys(name for trial in trials for name in trial.metrics)
        found[variant.name] = {
            name: spread([trial.metrics[name] for trial in trials if name in trial.metrics]) for name in names
        }
    return found


def best_seed(
    trials: Sequence[TrialResult], select_metric: str, better: Literal["higher", "lower"] = "higher"
) -> TrialResult | None:
    """The trial that is best by the selection metric, the first of several; `None` of none.

    Source: arXiv 2307.11762, section 4, evaluation.
    """
    best = max if better == "higher" else min
    return best(trials, key=lambda trial: trial.metrics[select_metric], default=None)
