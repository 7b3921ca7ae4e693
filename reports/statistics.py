"""What the seeds of a variant say together.

Two protocols stand side by side. *Mean over seeds* with the sample standard deviation is what a comparison rests on.
*Best on dev* is the paper's: of all seeds the one with the best score on dev, and its score on test; it is a single
trial, so it has no spread, and with more seeds it rises on dev by selection alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.records import TrialResult


@dataclass(frozen=True)
class Spread:
    """One metric over seeds, in percent. `None` is undefined: of no seed all are, of one seed `sd` is."""

    n: int
    mean: float | None
    sd: float | None
    """Sample standard deviation: divided by n - 1."""
    min: float | None
    max: float | None


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation and range of a metric over seeds."""
    scores = np.asarray(values, dtype=np.float64)
    n = len(scores)
    if n == 0:
        return Spread(0, None, None, None, None)
    sd = float(scores.std(ddof=1)) if n > 1 else None
    return Spread(n, float(scores.mean()), sd, float(scores.min()), float(scores.max()))


def best_seed(trials: Sequence[TrialResult], select_metric: str) -> TrialResult | None:
    """The trial that is best by the selection metric, the first of several; `None` of none.

    Source: arXiv 2307.11762, section 4, evaluation.
    """
    return max(trials, key=lambda trial: trial.metrics[select_metric], default=None)
