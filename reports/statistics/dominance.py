"""Almost stochastic order: an option, through a library.

`deepsig` (GPL-3, so never required; the extra `aso` installs it) is imported when it is asked for, and not before.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from reports.statistics.pairs import TIE

DOMINATES = 0.2
"""Below it a variant is called almost stochastically dominant, as Ulmer et al. recommend; from 0.5 on it is not."""

DRAWS = 1000
"""Resamples of the seeds, as the library has it; each costs some milliseconds."""

_INSTALL = (
    "almost stochastic order needs deepsig, which is not installed: pip install 'deepsig>=1.2.8,<2' (the extra aso)"
)


def almost_stochastic_order(
    variant: ArrayLike,
    baseline: ArrayLike,
    seed: int,
    *,
    alpha: float = 0.05,
    n_comparisons: int = 1,
    resamples: int = DRAWS,
) -> float | None:
    """eps_min: how much of the order "each quantile of the variant is above that of the baseline" may be violated.

    An upper bound of the violation ratio, in [0, 1], at confidence 1 - alpha / n_comparisons (Bonferroni): 0, the
    variant dominates; below `DOMINATES`, almost; 0.5, neither; 1, the baseline dominates. Higher scores are better.
    Scores per seed need no pairing and no distribution; but of a handful a bootstrap (`resamples` of it) spreads too
    little. Of 100 pairs of samples from one normal distribution, 11 were below 0.2 with 3 seeds and 7 with 5, and below
    0.5 some 20, with up to 20 seeds. So no verdict rests on it.

    `None` of fewer than two seeds, and where all scores are equal. An ImportError says what to install.

    Source: del Barrio et al. 2018, "An optimal transportation approach for assessing almost stochastic order"; Dror et
    al. 2019, "Deep dominance"; Ulmer et al. 2022, "deep-significance", whose `num_comparisons` is not used, as it adds
    alpha / n to the confidence, where Bonferroni takes it from 1: of more than two comparisons too little.
    """
    try:
        from deepsig import aso  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    one, other = np.asarray(variant, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    both = np.concatenate([one, other])
    if not np.isfinite(both).all():
        raise ValueError(f"scores are {one.tolist()} and {other.tolist()}, wanted numbers that are finite")
    if min(len(one), len(other)) < 2 or np.ptp(both) <= TIE * np.abs(both).max():
        return None
    before = np.random.get_state()  # deepsig seeds the generator of everybody
    try:
        with warnings.catch_warnings():
            # it tells each resample of which all scores are equal, which counts 0.5, and any confidence below 0.95
            warnings.simplefilter("ignore", UserWarning)
            return float(
                aso(
                    one,
                    other,
                    confidence_level=1 - alpha / n_comparisons,
                    num_bootstrap_iterations=resamples,
                    seed=seed,
                    show_progress=False,
                )
            )
    finally:
        np.random.set_state(before)
