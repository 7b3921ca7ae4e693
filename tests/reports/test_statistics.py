"""Means, deviations, intervals and the paper's choice of a seed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats

from reports.statistics import LEVEL, Spread, best_seed, spread, spreads
from tests.reports.samples import MAIN, ON_DEV, study, trials


def test_the_deviation_is_that_of_a_sample():
    # deviations -1, 0, 1; their squares sum to 2; 2 / (3 - 1) = 1
    assert spread([41.0, 42.0, 43.0]) == Spread(n=3, mean=42.0, sd=1.0, min=41.0, max=43.0)


def test_of_one_seed_no_deviation_is_defined_and_of_none_no_mean():
    assert spread([42.0]) == Spread(1, 42.0, None, 42.0, 42.0)
    assert spread([]) == Spread(0, None, None, None, None)


def test_scipy_agrees():
    scores = [40.1, 43.7, 39.9, 44.2, 41.0]
    theirs = scipy.stats.describe(scores, ddof=1)
    ours = spread(scores)
    assert (ours.n, ours.mean) == (theirs.nobs, pytest.approx(theirs.mean))
    assert ours.sd is not None and ours.sd**2 == pytest.approx(theirs.variance)
    assert (ours.min, ours.max) == theirs.minmax


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_interval_of_the_mean_is_students_as_scipy_has_it(n):
    scores = np.random.default_rng(n).normal(43.0, 2.0, n)
    ours = spread(scores)
    theirs = scipy.stats.t.interval(LEVEL, n - 1, loc=scores.mean(), scale=scipy.stats.sem(scores))
    assert (ours.low, ours.high) == pytest.approx(theirs)
    alone = scipy.stats.ttest_1samp(scores, 0.0).confidence_interval(LEVEL)
    assert (ours.low, ours.high) == pytest.approx((alone.low, alone.high))


def test_three_seeds_are_4_30_standard_errors_wide_and_one_seed_has_no_interval():
    # t of 2 degrees of freedom at 97.5 % is 4.3027; the standard error is 1 / sqrt(3)
    found = spread([41.0, 42.0, 43.0])
    assert (found.low, found.high) == pytest.approx((42 - 4.3027 / 3**0.5, 42 + 4.3027 / 3**0.5), abs=1e-4)
    assert (spread([42.0]).low, spread([42.0]).high) == (None, None)
    assert (spread([]).low, spread([]).high) == (None, None)


def test_nineteen_of_twenty_intervals_cover_the_mean_that_scores_are_drawn_from():
    drawn = np.random.default_rng(0).normal(40.0, 3.0, (2000, 5))
    covered = sum(of.low <= 40.0 <= of.high for of in map(spread, drawn))
    low, high = scipy.stats.binom.interval(0.999, len(drawn), LEVEL)
    assert low <= covered <= high


def test_the_seed_is_chosen_on_dev_whatever_it_reaches_on_test():
    of_three = trials("a", [45.0, 41.0, 43.0], on_dev=[40.0, 50.0, 45.0])
    best = best_seed(of_three, ON_DEV)
    assert best is not None and best.seed == 2
    assert best.metrics["test/relation_strict_f1"] == 41.0


def test_where_lower_is_better_the_lowest_seed_is_chosen():
    best = best_seed(trials("a", [45.0, 41.0, 43.0]), ON_DEV, "lower")
    assert best is not None and best.seed == 2


def test_every_metric_of_every_variant_is_spread_over_its_finished_trials():
    found = spreads(study({"a": [41.0, 42.0, 43.0], "b": [40.0, "failed", "missing"], "c": []}, seeds=(1, 2, 3)))
    assert found["a"][MAIN] == Spread(3, 42.0, 1.0, 41.0, 43.0)
    # one point above
    assert found["a"]["test/mention_f1"] == Spread(3, 43.0, 1.0, 42.0, 44.0)
    assert found["b"][MAIN] == Spread(1, 40.0, None, 40.0, 40.0)
    assert found["c"] == {}


def test_a_metric_that_a_trial_does_not_tell_is_spread_over_the_others():
    results = study({"a": [41.0, 43.0]}, seeds=(1, 2))
    first, second = results.trials
    more = dataclasses.replace(second, metrics={**second.metrics, "test/seconds": 7.0})
    assert spreads(dataclasses.replace(results, trials=(first, more)))["a"]["test/seconds"].n == 1


def test_spreads_are_made_without_pandas_scipy_and_matplotlib():
    code = (
        "import sys; from reports.statistics import spread; spread([1.0, 2.0]);"
        "print({'pandas', 'scipy', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_of_seeds_that_are_equal_on_dev_the_first_is_chosen_and_of_none_none():
    equal = trials("a", [41.0, 45.0], on_dev=[40.0, 40.0])
    best = best_seed(equal, ON_DEV)
    assert best is not None and best.seed == 1
    assert best_seed([], ON_DEV) is None
