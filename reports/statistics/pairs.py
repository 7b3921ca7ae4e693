"""Is the difference of two systems more than the choice of seeds? The seed as paired unit.

    paired t     differences over seeds are drawn from a normal distribution      from two seeds on
    sign-flip    they are as likely of one sign as of the other                   of five seeds p is never below 0.0625

Both are about other training runs, evaluated on these very documents: of other documents they say nothing. Scores may
be of any kind, in any unit; seeds stand in the same order in both systems.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from reports.statistics.correction import least_sign_flip_p
from reports.statistics.tested import Tested

ENUMERATED = 20
"""Up to so many pairs all patterns of signs are looked at, half a million; of more some are drawn."""

TIE = 1e-9
"""As a share of the largest score: what differs by less is the same, but for rounding."""


def paired_t(variant: ArrayLike, baseline: ArrayLike, level: float = 0.95) -> Tested:
    """Student's t of the differences, with its interval: `scipy.stats.ttest_1samp`.

    Null hypothesis: over all training runs the difference is 0 on average. No p of fewer than two seeds, nor where all
    differ by the same amount, as there is no variance to go by (a method that no seed changes is not replicated by
    seeds); where all are equal, p is 1.
    """
    differences = _differences(variant, baseline)
    mean, n = float(differences.mean()), len(differences)
    if n > 1 and not differences.any():
        return Tested(mean, None, None, 1.0, 0.0, "training runs")
    student = _student(differences, level)
    if student is None:
        why = "a single pair of seeds has no variance" if n == 1 else f"all {n} seeds differ by the same amount"
        return Tested(mean, None, None, None, 1.0, "training runs", why)
    return Tested(mean, *student, 0.0, "training runs")


def sign_flip(
    variant: ArrayLike,
    baseline: ArrayLike,
    generator: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Tested:
    """Of all patterns of signs that the differences could have had, how many have a mean as far from 0 as this one?

    Exact up to `ENUMERATED` pairs: p = #{patterns: |mean| >= |observed mean|} / 2^n. Of more pairs `resamples` patterns
    are drawn, and the observed one counts with them: p = (1 + #) / (1 + resamples). As `scipy.stats.permutation_test`,
    but that means that differ by rounding alone are equal. Null hypothesis: of each seed, either system could have had
    either score. The interval is that of the paired t test, as few seeds have too few patterns for one.

    Source: Fisher 1935, "The design of experiments", section 21; Dror et al. 2018, "The hitchhiker's guide to testing
    statistical significance in NLP".
    """
    differences = _differences(variant, baseline)
    mean, n = float(differences.mean()), len(differences)
    least_p = least_sign_flip_p(n)
    if n > ENUMERATED:
        if resamples < 1:
            raise ValueError(f"{resamples} resamples, wanted at least 1")
        sums = (2.0 * generator.integers(2, size=(resamples, n)) - 1) @ differences
    else:
        # a pattern and its opposite are equally far from 0, so the first sign stays; each further one doubles the sums
        sums = differences[:1]
        for difference in differences[1:]:
            sums = np.concatenate([sums + difference, sums - difference])
    extreme = np.abs(sums) >= abs(differences.sum()) - TIE * np.abs(differences).sum()
    if n > ENUMERATED:
        p, least_p = (1 + np.count_nonzero(extreme)) / (1 + resamples), max(least_p, 1 / (1 + resamples))
    else:
        p = np.mean(extreme)
    low, high, _ = _student(differences, level) or (None, None, None)
    return Tested(mean, low, high, float(p), least_p, "training runs")


def checked(variant: ArrayLike, baseline: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores as arrays. Refused: none, not as many of each, and what is not finite."""
    one, other = np.asarray(variant, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape or not len(one):
        raise ValueError(f"scores have shapes {one.shape} and {other.shape}, wanted one a seed of each, at least one")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError(f"scores are {one.tolist()} and {other.tolist()}, wanted numbers that are finite")
    return one, other


def _differences(variant: ArrayLike, baseline: ArrayLike) -> NDArray[np.float64]:
    one, other = checked(variant, baseline)
    differences = one - other
    differences[np.abs(differences) <= TIE * max(np.abs(one).max(), np.abs(other).max())] = 0.0
    return differences


def _student(differences: NDArray[np.float64], level: float) -> tuple[float, float, float] | None:
    """Interval and p of the mean; `None` without variance."""
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval is {level}, wanted a number between 0 and 1, as 0.95")
    if len(differences) < 2 or np.ptp(differences) <= TIE * np.abs(differences).max():
        return None
    found: Any = stats.ttest_1samp(differences, 0.0)
    low, high = found.confidence_interval(level)
    return float(low), float(high), float(found.pvalue)
