"""The comparisons that a report makes together, each with its verdict.

    Family         what was declared before the trials were run: test, alpha, correction, draws
    System         what one method left: scores per seed, and counts per document
    Pair           two systems and the statistic by which they are compared
    Comparison     what came out

    compared = compare(Family(), {variant: Pair(system_of[variant], system_of[baseline]) for variant in variants})

The same family and pairs give the same numbers to the last bit, and no pair changes the draws of another.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from reports.statistics import micro
from reports.statistics.correction import holm, pairs_needed
from reports.statistics.documents import RESAMPLES, Runs, approximate_randomisation, paired_bootstrap
from reports.statistics.dominance import DRAWS, almost_stochastic_order
from reports.statistics.effects import Effects, effects
from reports.statistics.micro import Statistic
from reports.statistics.pairs import ENUMERATED, paired_t, sign_flip
from reports.statistics.tested import Scope, Tested

Test = Literal["paired bootstrap", "approximate randomisation", "paired t", "sign-flip"]
Unit = Literal["document", "seed"]
Correction = Literal["holm", "none"]
Verdict = Literal["better", "worse", "no difference shown", "cannot reach alpha"]

K = TypeVar("K", bound=Hashable)

_UNITS: dict[Test, Unit] = {
    "paired bootstrap": "document",
    "approximate randomisation": "document",
    "paired t": "seed",
    "sign-flip": "seed",
}


@dataclass(frozen=True)
class Family:
    """Comparisons of which together no more than a share `alpha` of studies shall have a false one."""

    test: Test = "paired bootstrap"
    alpha: float = 0.05
    """Of the family, where it is corrected. Intervals have level 1 - alpha, each for itself."""
    correction: Correction = "holm"
    resamples: int = RESAMPLES
    """Of the tests that draw."""
    seed: int = 0
    """Of these draws; nothing to do with the seeds of trials."""
    runs: Runs = "student"
    """What tests over documents do with seeds: see `documents`. Unless they are `fixed`, a pair of a single seed is not
    tested, as its trained models alone would decide."""
    dominance: bool = False
    """Whether almost stochastic order is told, too; it has no part in the verdict. Needs the extra `aso`, and some
    seconds a comparison."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("test", self.test, get_args(Test)),
            ("correction", self.correction, get_args(Correction)),
            ("runs", self.runs, get_args(Runs)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}, wanted one of {', '.join(allowed)}")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}, wanted a number between 0 and 1, as 0.05")
        if self.resamples < 1 or self.seed < 0:
            raise ValueError(f"resamples is {self.resamples} and seed is {self.seed}, wanted at least 1 and at least 0")

    @property
    def unit(self) -> Unit:
        """What is paired, and taken for a sample of all that might have been."""
        return _UNITS[self.test]


@dataclass(frozen=True, eq=False)
class System:
    """What the finished trials of one method left on one split."""

    seeds: tuple[int, ...]
    """Each once."""
    scores: NDArray[np.float64] | None = None
    """(seeds,); of our models in percent. May be left out where there are counts."""
    counts: NDArray[np.int64] | None = None
    """(seeds, documents, 3): correct, spurious, missed."""
    documents: tuple[str, ...] | None = None
    """Ids, in the order of the counts. Where both systems of a pair have them, they must be the same."""

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds are {list(self.seeds)}, wanted each once")
        if self.scores is None and self.counts is None and self.seeds:
            raise ValueError("neither scores nor counts, wanted at least one of them")
        for name, value in (("scores", self.scores), ("counts", self.counts)):
            if value is not None and self.seeds and (not np.ndim(value) or len(value) != len(self.seeds)):
                raise ValueError(f"{name} have shape {np.shape(value)}, wanted one for each of {len(self.seeds)} seeds")
        if self.documents is not None and self.counts is not None and self.counts.shape[1:2] != (len(self.documents),):
            raise ValueError(
                f"counts have shape {self.counts.shape}, wanted one for each of {len(self.documents)} documents"
            )

    def scored(self, statistic: Statistic) -> NDArray[np.float64]:
        """(seeds,): the scores as given, which must be those of the counts, if there are both."""
        if self.counts is None:
            return np.asarray(self.scores, dtype=np.float64)
        counted = micro.scores(self.counts, statistic)
        if self.scores is not None and not np.allclose(self.scores, counted, rtol=0, atol=1e-6):
            raise ValueError(
                f"scores are {np.asarray(self.scores).tolist()}, but {statistic} from the counts is "
                f"{counted.tolist()}; give the counts and the scores of one metric"
            )
        return counted

    def of(self, seeds: tuple[int, ...]) -> System:
        """The trials with these seeds, in this order."""
        rows = [self.seeds.index(seed) for seed in seeds]
        scores = None if self.scores is None else np.asarray(self.scores)[rows]
        counts = None if self.counts is None else np.asarray(self.counts)[rows]
        return System(seeds, scores, counts, self.documents)


@dataclass(frozen=True, eq=False)
class Pair:
    """One comparison. Seeds that only one of the two has are left out of it, as it is paired."""

    variant: System
    baseline: System
    statistic: Statistic = "f1"
    """Which one the counts are made into; of no account without counts."""
    better: Literal["higher", "lower"] = "higher"

    def __post_init__(self) -> None:
        if self.statistic not in get_args(Statistic):
            raise ValueError(f"statistic is {self.statistic!r}, wanted one of {', '.join(get_args(Statistic))}")
        if self.better not in ("higher", "lower"):
            raise ValueError(f"better is {self.better!r}, wanted higher or lower")
        one, other = self.variant.documents, self.baseline.documents
        if one is not None and other is not None and one != other:
            differ = sorted(set(one) ^ set(other))
            raise ValueError(
                f"the systems are on different documents, as {', '.join(differ[:3])}; wanted the same ones"
                if differ
                else "the systems have their documents in different orders, wanted the same one"
            )

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that both have, in the order of the baseline."""
        return tuple(seed for seed in self.baseline.seeds if seed in self.variant.seeds)

    @property
    def n_documents(self) -> int | None:
        return None if self.baseline.counts is None else int(np.shape(self.baseline.counts)[1])


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline. `None` is undefined, for the reason that `why` tells."""

    verdict: Verdict
    """`better` and `worse`: adjusted p is at most alpha. `cannot reach alpha`: no trials with this many seeds or
    documents in this family could have come to anything else, so that nothing was tested. `no difference shown` is all
    that is left; it does not say that there is none: the interval says how large it may be."""
    why: str | None
    """Why alpha cannot be reached, as part of a sentence."""
    test: Test
    unit: Unit
    scope: Scope | None
    """To what the verdict may be carried over; `None` where nothing was compared."""
    seeds: tuple[int, ...]
    """Those that were paired."""
    n_documents: int | None
    """`None` where the test looks at scores alone."""
    difference: float | None
    """Mean over these seeds, variant - baseline, in points."""
    low: float | None
    """Ends of the interval of the difference at level 1 - alpha, not corrected for the family: percentiles of the
    paired bootstrap for tests over documents, of Student's t for tests over seeds."""
    high: float | None
    p: float | None
    """Two-sided, of this comparison alone."""
    p_adjusted: float | None
    """Corrected for the family: what the verdict rests on."""
    least_p_adjusted: float
    """The smallest adjusted p that the family could have given here."""
    n_comparisons: int
    """In the family."""
    alpha: float
    correction: Correction
    effects: Effects | None
    dominance: float | None
    """eps_min of the variant over the baseline: see `dominance`."""

    @property
    def n_seeds(self) -> int:
        return len(self.seeds)


def compare(family: Family, pairs: Mapping[K, Pair]) -> dict[K, Comparison]:
    """All comparisons of a family, with one correction over them.

    Keys name the comparisons: a variant, or a variant and a data set or metric where a report has several. A pair whose
    systems share no seed stays in the family, with p = 1: what fails must not make the others look better.

    A ValueError where a test over documents gets no counts, or what `documents` and `pairs` refuse.
    """
    tested = {name: _tested(family, name, pair) for name, pair in pairs.items()}
    all_p = [1.0 if of is None or of.p is None else of.p for of in tested.values()]
    least = [1.0 if of is None else of.least_p for of in tested.values()]
    if family.correction == "holm":
        adjusted, least_adjusted = holm(all_p), holm(least)
    else:
        adjusted, least_adjusted = tuple(all_p), tuple(least)
    return {
        name: _comparison(family, pairs[name], of, adjusted[n], least_adjusted[n], len(pairs))
        for n, (name, of) in enumerate(tested.items())
    }


def _tested(family: Family, name: Hashable, pair: Pair) -> Tested | None:
    if not pair.seeds:
        return None
    variant, baseline = pair.variant.of(pair.seeds), pair.baseline.of(pair.seeds)
    level, generator = 1 - family.alpha, np.random.default_rng(family.seed)
    if family.unit == "seed":
        scores = variant.scored(pair.statistic), baseline.scored(pair.statistic)
        if family.test == "paired t":
            return paired_t(*scores, level=level)
        return sign_flip(*scores, generator, family.resamples, level)
    if variant.counts is None or baseline.counts is None:
        raise ValueError(
            f"{name}: {family.test} needs counts per document of both systems, and there are none; test over seeds"
        )
    if family.runs != "fixed" and len(pair.seeds) == 1:
        one, other = (float(system.scored(pair.statistic)[0]) for system in (variant, baseline))
        why = "a single pair of seeds says nothing of other training runs"
        return Tested(one - other, None, None, None, 1.0, "documents and training runs", why)
    counts, statistic, n, runs = (variant.counts, baseline.counts), pair.statistic, family.resamples, family.runs
    found = paired_bootstrap(*counts, generator, statistic=statistic, resamples=n, level=level, runs=runs)
    if family.test == "paired bootstrap":
        return found
    generator = np.random.default_rng(family.seed)
    swapped = approximate_randomisation(*counts, generator, statistic=statistic, resamples=n, runs=runs)
    return dataclasses.replace(swapped, low=found.low, high=found.high)


def _comparison(
    family: Family, pair: Pair, tested: Tested | None, p_adjusted: float, least_p_adjusted: float, n_comparisons: int
) -> Comparison:
    seeds, scores, why = pair.seeds, None, None
    if tested is not None:
        scores = tuple(system.of(seeds).scored(pair.statistic) for system in (pair.variant, pair.baseline))
    defined = tested is not None and tested.p is not None
    verdict: Verdict = "no difference shown"
    if least_p_adjusted > family.alpha:
        verdict, why = "cannot reach alpha", _why(family, pair, tested, least_p_adjusted, n_comparisons)
    elif tested is not None and p_adjusted <= family.alpha:
        verdict = "better" if (tested.difference > 0) == (pair.better == "higher") else "worse"
    return Comparison(
        verdict=verdict,
        why=why,
        test=family.test,
        unit=family.unit,
        scope=None if tested is None else tested.scope,
        seeds=seeds,
        n_documents=pair.n_documents if family.unit == "document" else None,
        difference=None if tested is None else tested.difference,
        low=None if tested is None else tested.low,
        high=None if tested is None else tested.high,
        p=None if tested is None else tested.p,
        p_adjusted=p_adjusted if defined else None,
        least_p_adjusted=least_p_adjusted,
        n_comparisons=n_comparisons,
        alpha=family.alpha,
        correction=family.correction,
        effects=None if scores is None else effects(*scores, better=pair.better),
        dominance=None if scores is None or not family.dominance else _dominance(family, pair, scores, n_comparisons),
    )


def _dominance(family: Family, pair: Pair, scores: tuple[NDArray[np.float64], ...], n_comparisons: int) -> float | None:
    variant, baseline = (of if pair.better == "higher" else -of for of in scores)
    n = n_comparisons if family.correction == "holm" else 1
    return almost_stochastic_order(
        variant, baseline, family.seed, alpha=family.alpha, n_comparisons=n, resamples=min(family.resamples, DRAWS)
    )


def _why(family: Family, pair: Pair, tested: Tested | None, least_p_adjusted: float, n_comparisons: int) -> str:
    if tested is None:
        return "no seed is there of both"
    if tested.undefined is not None:
        return tested.undefined
    n = n_comparisons if family.correction == "holm" else 1
    least = f"p{' adjusted' if n > 1 else ''} is never below {least_p_adjusted:.3g}"
    by_draws = 1 / (1 + family.resamples)
    is_drawn = family.unit == "document" or family.test == "sign-flip" and len(pair.seeds) > ENUMERATED
    if is_drawn and tested.least_p <= by_draws:
        return f"with {family.resamples} resamples {least}; {math.ceil(n / family.alpha) - 1} would be enough"
    n_units = pair.n_documents if family.unit == "document" else len(pair.seeds)
    units = f"{n_units} {family.unit}{'' if n_units == 1 else 's'}"
    return f"with {units} {least}; {pairs_needed(family.alpha, n)} would be enough"
