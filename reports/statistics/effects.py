"""How large a difference over seeds is, beside its size in points.

A p says whether a difference is there, not whether it matters. The difference in points with its interval comes first;
these set it against what seeds alone do, so that they can be compared between metrics and data sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from reports.statistics.pairs import TIE, checked


@dataclass(frozen=True)
class Effects:
    """`None` is undefined: of too few seeds, or where differences over seeds have no spread."""

    d_z: float | None
    """Cohen's d of paired differences: their mean / their standard deviation. 1: the difference is as large as what
    another seed changes in it. From two seeds on. Source: Cohen 1988, "Statistical power analysis", section 2.3; Lakens
    2013."""
    hedges_g: float | None
    """d_z without its bias, which is 25 % of it with five seeds and 77 % with three. From three seeds on.
    Source: Hedges 1981, "Distribution theory for Glass's estimator of effect size", with n - 1 degrees of freedom."""
    superiority: float | None
    """Probability that a run of the variant is better than a run of the baseline, ties half; seeds are not paired. 0.5:
    one as often as the other. From two seeds on. Source: Vargha & Delaney 2000, "A critique and improvement of the CL
    common language effect size statistics of McGraw and Wong" (their A)."""


def effects(variant: ArrayLike, baseline: ArrayLike, better: Literal["higher", "lower"] = "higher") -> Effects:
    """Of scores per seed, in the same order in both. `better` says which scores are; d_z and g have the sign of
    variant - baseline all the same."""
    one, other = checked(variant, baseline)
    n = len(one)
    if n < 2:
        return Effects(None, None, None)
    apart = one[:, None] - other[None, :]
    apart[np.abs(apart) <= TIE * max(np.abs(one).max(), np.abs(other).max())] = 0.0
    wins = apart > 0 if better == "higher" else apart < 0
    superiority = float(np.mean(wins) + np.mean(apart == 0) / 2)
    differences = apart.diagonal()
    if np.ptp(differences) <= TIE * np.abs(differences).max():
        return Effects(None, None, superiority)
    d_z = float(differences.mean() / differences.std(ddof=1))
    return Effects(d_z, d_z * unbiasing(n - 1) if n > 2 else None, superiority)


def unbiasing(degrees: int) -> float:
    """Hedges' J(m) = gamma(m / 2) / (sqrt(m / 2) * gamma((m - 1) / 2)) of m > 1 degrees of freedom, below 1."""
    return float(np.exp(gammaln(degrees / 2) - gammaln((degrees - 1) / 2)) / np.sqrt(degrees / 2))
