"""Is the difference of two systems more than the choice of documents, and of seeds? The document as paired unit.

    paired bootstrap            resamples documents          p and interval
    approximate randomisation   swaps systems on documents   p

A system is a method with its training runs, one for each seed; all runs are evaluated on the same documents. Its score
is the mean over seeds of the micro-averaged score, which is computed anew from summed counts in each resample. The two
systems stay paired: a document is drawn, or swapped, for all trials at once, because what makes a document hard makes
it hard for all of them, so that trials on one document are no independent observations of it.

Seeds are the second level, crossed with documents. `runs` says what is done with them:

    fixed       nothing. The null hypothesis is about these trained models on other documents; other seeds may turn it
                round.
    resampled   seeds are drawn with replacement, too, independently of the documents, and the same ones for both
                systems where they are paired. About the method: other documents, other seeds. Source: Sellam et al.
                2022, "The MultiBERTs: BERT reproductions for robustness analysis" (Multi-Bootstrap); Owen 2007, "The
                pigeonhole bootstrap". A handful of seeds, resampled, spreads too little (by (n - 1) / n in variance)
                and without tails: where seeds make most of the difference, at alpha 5 % some 35 % of true nulls are
                rejected with 2 seeds and 12 % with 5.
    student     the default, about the method too. To each resample of documents is added a deviation of the mean over
                seeds, drawn from s / sqrt(n) * t(n - 1), with s the sample deviation over seeds (of differences, where
                they are paired; otherwise as Welch). So, where seeds make all of the difference, this is the paired t
                test, and where documents make all of it, the test over documents. Sums of the two hold their level, a
                little on the safe side (Behrens and Fisher's problem; Robinson 1976, "Properties of Student's t and of
                the Behrens-Fisher solution"). Here we differ from the sources above, towards larger p.

With a single seed there is no second level, whatever `runs` says, and `scope` tells so.

p is two-sided and counts the data as one more resample, (1 + r) / (1 + R): it is never 0 (Davison & Hinkley 1997,
chapter 4; Phipson & Smyth 2010). Sources for the tests are with their functions; for choosing one, Dror et al. 2018,
"The hitchhiker's guide to testing statistical significance in NLP".

All that is multiplied is integers below 2^24 in single precision, or 2^53 in double, so sums are exact: the same
generator gives the same bytes, on any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.statistics.micro import Statistic, checked, percent, terms
from reports.statistics.tested import Tested

Runs = Literal["student", "resampled", "fixed"]

RESAMPLES = 10_000
"""p of 0.05 then has a standard error of 0.002."""

_CHUNK = 1_000_000
"""Products at a time, so that memory does not grow with the number of resamples. Their weights fit a cache, and a
multiplication of so few is not handed to threads, which take up to a hundred times as long where trials use the other
cores."""
_TIE = 1e-9
"""Points. What is nearer than that is equal: the same fraction reached by other sums."""


def paired_bootstrap(
    variant: ArrayLike,
    baseline: ArrayLike,
    generator: np.random.Generator,
    *,
    statistic: Statistic = "f1",
    resamples: int = RESAMPLES,
    level: float = 0.95,
    runs: Runs = "student",
    paired: bool = True,
) -> Tested:
    """Draw as many documents as there are, with replacement, again and again, and compare the systems on each draw.

        d     = mean over seeds of score(variant) - mean over seeds of score(baseline)
        d*_r  = the same on the r-th resample of documents (and runs, see above)
        p     = (1 + #{r: |d*_r - d| >= |d|}) / (1 + R)

    `variant`, `baseline`: counts (seeds, documents, 3), documents in the same order; if `paired`, also seeds. Otherwise
    seeds may differ, in number too, and are taken for independent. `level` is that of the percentile interval of d.

    Null hypothesis: over all documents of which these are a sample (and all training runs), d is 0 on average. The
    spread of d* about d stands for that of d about 0. Below 2^(1 - D) no p of D documents is believed: the resamples of
    three documents that all favour one system hardly differ. Of a single document there is no interval.

    Source: Efron & Tibshirani 1993, "An introduction to the bootstrap", chapters 13 and 16; Berg-Kirkpatrick et al.
    2012, "An empirical investigation of statistical significance in NLP", whose test is ours with one side.
    """
    data = _Data.of(variant, baseline, statistic, runs, paired)
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval is {level}, wanted a number between 0 and 1, as 0.95")
    n_documents, observed = data.n_documents, data.difference
    deviation = data.student(generator, resamples)
    found = np.empty(resamples)
    both = data.multiplicand()
    for rows in _chunks(resamples, both.size):
        n = rows.stop - rows.start
        weight_VS, weight_BS = data.seed_weights(generator, n)
        drawn = generator.integers(n_documents, size=(n, n_documents))
        drawn += np.arange(n)[:, None] * n_documents
        times = np.bincount(drawn.ravel(), minlength=n * n_documents).reshape(n, n_documents)
        score_V, score_B = data.scores(times.astype(both.dtype) @ both)
        found[rows] = (weight_VS * score_V).sum(axis=1) - (weight_BS * score_B).sum(axis=1)
    found += deviation
    # two seeds have such tails that the deviations go beyond what scores in percent can differ by
    low, high = np.clip(np.quantile(found, [(1 - level) / 2, (1 + level) / 2]), -100.0, 100.0)
    least_p = _least_p(n_documents, resamples)
    return Tested(
        difference=observed,
        low=float(low) if n_documents > 1 else None,
        high=float(high) if n_documents > 1 else None,
        p=max(_p(found - observed, observed), least_p),
        least_p=least_p,
        scope=data.scope,
    )


def approximate_randomisation(
    variant: ArrayLike,
    baseline: ArrayLike,
    generator: np.random.Generator,
    *,
    statistic: Statistic = "f1",
    resamples: int = RESAMPLES,
    runs: Runs = "student",
) -> Tested:
    """Toss a coin for each document, and swap the counts of the two systems on it, for all seeds; again and again.

        d     = mean over seeds of score(variant) - mean over seeds of score(baseline)
        d*_r  = the same after the r-th swapping, plus the deviation of the runs (see above; none if they are fixed)
        p     = (1 + #{r: |d*_r| >= |d|}) / (1 + R)

    `variant`, `baseline`: counts (seeds, documents, 3), seeds and documents in the same order. A ValueError if one has
    more seeds than the other: there is no one to swap with. No interval, as the test says nothing of other differences.

    Null hypothesis: on each document, it is by chance which of the two systems found what (and over training runs, d is
    0 on average). With runs that are fixed the test is exact, however few documents there are. D documents cannot have
    a smaller p than 2^(1 - D).

    Runs are not swapped with the documents. Exchanging the trials of each document anew, as Clark et al. 2011 do
    ("Better hypothesis testing for statistical machine translation"), spreads what a lucky seed gains over both signs,
    so that it vanishes from the null distribution; so the deviation of the runs is a term of its own.

    Source: Noreen 1989, "Computer-intensive methods for testing hypotheses"; Yeh 2000, "More accurate tests for the
    statistical significance of result differences"; Riezler & Maxwell 2005, "On some pitfalls in automatic evaluation
    and significance testing for MT", who find it to err less often than the bootstrap.
    """
    data = _Data.of(variant, baseline, statistic, runs, paired=True)
    observed = data.difference
    found = data.student(generator, resamples)
    together = data.multiplicand()
    total = together.sum(axis=0, dtype=np.float64)
    n_columns = data.variant.shape[0] * 2
    gain = together[:, n_columns:] - together[:, :n_columns]
    all_V, all_B = data.scores(total)
    for rows in _chunks(resamples, gain.size):
        n = rows.stop - rows.start
        weight_VS, weight_BS = data.seed_weights(generator, n)
        found[rows] += (weight_VS * all_V).sum(axis=1) - (weight_BS * all_B).sum(axis=1) - observed
        swapped = generator.integers(2, size=(n, data.n_documents), dtype=np.int8)
        moved = (swapped.astype(gain.dtype) @ gain).astype(np.float64)
        score_V, score_B = data.scores(np.concatenate([total[:n_columns] + moved, total[n_columns:] - moved], axis=1))
        found[rows] += score_V.mean(axis=1) - score_B.mean(axis=1)
    least_p = _least_p(data.n_documents, resamples)
    return Tested(observed, None, None, max(_p(found, observed), least_p), least_p, data.scope)


def _p(deviations: NDArray[np.float64], observed: float) -> float:
    return float((1 + np.count_nonzero(np.abs(deviations) >= abs(observed) - _TIE)) / (1 + len(deviations)))


def _least_p(n_documents: int, resamples: int) -> float:
    """Every test of pairs is symmetric, so that of 2^D patterns of signs two are as extreme as the most extreme one."""
    return max(math.ldexp(1.0, 1 - n_documents), 1 / (1 + resamples))


def _chunks(resamples: int, n_products: int) -> Iterator[slice]:
    """`n_products`: of one resample."""
    n = max(1, _CHUNK // n_products)
    for start in range(0, resamples, n):
        yield slice(start, min(start + n, resamples))


@dataclass(frozen=True)
class _Data:
    """Two systems on the same documents. The letters: V seeds of the variant, B of the baseline, D documents."""

    variant: NDArray[np.int64]
    """Terms (V, D, 2)."""
    baseline: NDArray[np.int64]
    """Terms (B, D, 2)."""
    runs: Runs
    paired: bool

    @classmethod
    def of(cls, variant: ArrayLike, baseline: ArrayLike, statistic: Statistic, runs: Runs, paired: bool) -> _Data:
        one, other = checked(variant), checked(baseline)
        if one.shape[1] != other.shape[1]:
            raise ValueError(
                f"the variant has counts of {one.shape[1]} documents, the baseline of {other.shape[1]}; "
                "wanted the same documents in the same order"
            )
        if paired and len(one) != len(other):
            raise ValueError(
                f"the variant has {len(one)} seeds, the baseline {len(other)}, so they make no pairs; give the seeds "
                "that both have, or say paired=False to `paired_bootstrap`"
            )
        if min(len(one), len(other)) < 2:
            runs = "fixed"
        return cls(terms(one, statistic), terms(other, statistic), runs, paired)

    @property
    def n_documents(self) -> int:
        return self.variant.shape[1]

    @property
    def scope(self) -> Literal["documents", "documents and training runs"]:
        return "documents" if self.runs == "fixed" else "documents and training runs"

    @property
    def observed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The scores on all documents: (V,) and (B,)."""
        return percent(self.variant.sum(axis=1)), percent(self.baseline.sum(axis=1))

    @property
    def difference(self) -> float:
        one, other = self.observed
        return float(one.mean() - other.mean())

    def multiplicand(self) -> NDArray[Any]:
        """The terms of all trials side by side, (D, (V + B) * 2), in the least precision that sums them exactly."""
        together = np.concatenate([self.variant, self.baseline]).transpose(1, 0, 2).reshape(self.n_documents, -1)
        most = int(together.max()) * self.n_documents
        if most >= 2**53:
            raise ValueError(f"counts may sum to {most}, which double precision does not hold exactly")
        return together.astype(np.float32 if most < 2**24 else np.float64)

    def scores(self, totals: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Summed terms (..., (V + B) * 2) → scores (..., V) and (..., B)."""
        both = percent(totals.reshape(*totals.shape[:-1], -1, 2))
        return both[..., : len(self.variant)], both[..., len(self.variant) :]

    def seed_weights(self, generator: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How much each seed counts in each of n resamples, (n, V) and (n, B); rows sum to 1."""
        n_V, n_B = len(self.variant), len(self.baseline)
        if self.runs != "resampled":
            return np.full((n, n_V), 1 / n_V), np.full((n, n_B), 1 / n_B)
        weight_V = generator.multinomial(n_V, np.full(n_V, 1 / n_V), size=n) / n_V
        if self.paired:
            return weight_V, weight_V
        return weight_V, generator.multinomial(n_B, np.full(n_B, 1 / n_B), size=n) / n_B

    def student(self, generator: np.random.Generator, n: int) -> NDArray[np.float64]:
        """n deviations of the difference by other training runs; 0 unless `runs` is `student`."""
        if n < 1:
            raise ValueError(f"{n} resamples, wanted at least 1")
        if self.runs != "student":
            return np.zeros(n)
        one, other = self.observed
        if self.paired:
            variances, degrees = [(one - other).var(ddof=1) / len(one)], [len(one) - 1]
        else:
            variances = [one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)]
            degrees = [len(one) - 1, len(other) - 1]
        variance = sum(variances)
        if variance == 0:
            return np.zeros(n)
        # Welch and Satterthwaite; of one variance its own degrees of freedom
        freedom = variance**2 / sum(v**2 / f for v, f in zip(variances, degrees, strict=True))
        # the sign makes the deviations change theirs when the two systems change places, so that p stays the same
        return math.copysign(math.sqrt(variance), self.difference) * generator.standard_t(freedom, size=n)
