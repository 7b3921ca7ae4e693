"""Counts per document → micro-averaged scores.

    counts    integers (seeds, documents, 3): items correct, spurious and missed, as `model.metrics.matching.Counts`
    terms     integers (..., 2): numerator and denominator of a statistic, linear in the counts

    precision = c / (c + s)        recall = c / (c + m)        F1 = 2c / (2c + s + m)

A micro-averaged score is a ratio of two sums over documents, so that a resample of documents is a weighted sum of
terms, and no score is ever averaged over documents. Scores are in percent, and 0 where the denominator is.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Literal["precision", "recall", "f1"]

_TERMS: dict[Statistic, list[list[int]]] = {
    # of correct, spurious and missed: what is in the numerator, and in the denominator
    "precision": [[1, 0, 0], [1, 1, 0]],
    "recall": [[1, 0, 0], [1, 0, 1]],
    "f1": [[2, 0, 0], [2, 1, 1]],
}


def checked(counts: ArrayLike) -> NDArray[np.int64]:
    """The counts of one system as int64. Refused: other shapes than (seeds, documents, 3), no seeds, no documents,
    numbers that are no integers (so NaN too), negative ones."""
    found = np.asarray(counts)
    if found.ndim != 3 or found.shape[2] != 3:
        raise ValueError(f"counts have shape {found.shape}, wanted (seeds, documents, 3): correct, spurious, missed")
    if 0 in found.shape:
        raise ValueError(
            f"counts of {found.shape[0]} seeds and {found.shape[1]} documents, wanted at least one of each"
        )
    if not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"counts are of type {found.dtype}, wanted integers: items are counted, never averaged")
    if found.min() < 0:
        raise ValueError(f"a count is {found.min()}, wanted 0 or more")
    return found.astype(np.int64)


def terms(counts: NDArray[np.int64], statistic: Statistic) -> NDArray[np.int64]:
    """Numerator and denominator of a statistic: (..., 3) → (..., 2)."""
    return counts @ np.array(_TERMS[statistic], dtype=np.int64).T


def percent(of: NDArray[np.generic]) -> NDArray[np.float64]:
    """Terms (..., 2), summed over documents → scores (...) in percent, 0 where there is nothing to divide by."""
    numerator, denominator = of[..., 0].astype(np.float64), of[..., 1].astype(np.float64)
    return np.divide(100.0 * numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def scores(counts: ArrayLike, statistic: Statistic = "f1") -> NDArray[np.float64]:
    """The score of each seed in percent, over all documents: (seeds, documents, 3) → (seeds,)."""
    return percent(terms(checked(counts), statistic).sum(axis=1))
