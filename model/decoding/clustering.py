"""Coreference clusters from pair probabilities, by complete linkage."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage


def clusters(probability_P: np.ndarray, n_mentions: int, threshold: float) -> list[np.ndarray]:
    """Partition mentions: two clusters merge while every pair across them has a probability above `threshold`.

    `probability_P`: of the pairs (earlier, later) in the order of `numpy.triu_indices(n_mentions, k=1)`. Only this
    direction counts; the released code computes the other one too and throws it away. Returns the mentions of each
    cluster in ascending order, clusters by their first mention; one mention is one cluster, none are none.

    Source: JEREX (arXiv 2102.05980), section 3.2; scipy's complete linkage on the distance 1 - probability.
    """
    if n_mentions < 2:
        return [np.arange(n_mentions)] if n_mentions else []
    distance_P = 1.0 - np.asarray(probability_P, dtype=np.float64)
    # merging needs a distance below the limit, while fcluster allows one that is equal to it
    limit = np.nextafter(1.0 - threshold, 0.0)
    label_M = fcluster(linkage(distance_P, method="complete"), t=limit, criterion="distance")
    groups: dict[int, list[int]] = {}
    for mention, label in enumerate(label_M.tolist()):
        groups.setdefault(label, []).append(mention)
    return [np.array(group) for group in groups.values()]
