"""Many comparisons at once: Holm's correction, and what a family can reach at all.

Six variants tested at 5 %, each alone, give at least one false finding in up to 26 % of studies. Holm's step-down
procedure keeps that share, the family-wise error, at alpha or below, however the comparisons depend on each other, and
finds all that Bonferroni's does. A family is declared before the trials are run: a variant that failed stays in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p in the order given: at most alpha just where Holm's procedure at alpha rejects.

        p_(1) <= ... <= p_(m)          adjusted p_(k) = max over j <= k of  min(1, (m - j + 1) * p_(j))

    Each is monotone in all of p. So the least p that tests can have, adjusted, are the least adjusted p that this
    family can have: where one of them is above alpha, its comparison cannot reach alpha, whatever comes out.

    A ValueError for what is no probability, NaN too. Source: Holm 1979, "A simple sequentially rejective multiple test
    procedure", Scandinavian Journal of Statistics 6. Tested against statsmodels' `multipletests`, which is not used
    here, as it would bring five packages for the four lines below.
    """
    found = np.asarray(p, dtype=np.float64)
    if not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"p are {list(p)}, wanted numbers from 0 to 1")
    order = np.argsort(found, kind="stable")
    adjusted = np.empty_like(found)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(found), 0, -1) * found[order]))
    return tuple(adjusted.tolist())


def least_sign_flip_p(n: int) -> float:
    """The smallest two-sided p that n pairs can have in a test that flips signs: 2^(1 - n), that is 0.0625 of five."""
    return min(1.0, math.ldexp(1.0, 1 - n))


def pairs_needed(alpha: float, n_comparisons: int = 1) -> int:
    """The fewest pairs with which a test that flips signs can reach alpha in each of a family's comparisons."""
    if not 0 < alpha < 1 or n_comparisons < 1:
        raise ValueError(
            f"alpha {alpha} in {n_comparisons} comparisons, wanted a number between 0 and 1 in at least one"
        )
    n = 1
    while n_comparisons * least_sign_flip_p(n) > alpha:
        n += 1
    return n
