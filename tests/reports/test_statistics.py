"""Means, deviations and the paper's choice of a seed."""

from __future__ import annotations

import pytest
import scipy.stats

from reports.statistics import Spread, best_seed, spread
from tests.reports.samples import ON_DEV, trials


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


def test_the_seed_is_chosen_on_dev_whatever_it_reaches_on_test():
    of_three = trials("a", [45.0, 41.0, 43.0], on_dev=[40.0, 50.0, 45.0])
    best = best_seed(of_three, ON_DEV)
    assert best is not None and best.seed == 2
    assert best.metrics["test/relation_strict_f1"] == 41.0


def test_of_seeds_that_are_equal_on_dev_the_first_is_chosen_and_of_none_none():
    equal = trials("a", [41.0, 45.0], on_dev=[40.0, 40.0])
    best = best_seed(equal, ON_DEV)
    assert best is not None and best.seed == 1
    assert best_seed([], ON_DEV) is None
