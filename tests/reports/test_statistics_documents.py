"""Tests with the document as paired unit: against enumeration, against scipy, and what must hold of any counts."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from model.metrics.matching import Counts
from reports.statistics import micro
from reports.statistics.documents import approximate_randomisation, paired_bootstrap
from tests.reports.counted import drawn

BOTH = pytest.mark.parametrize("test", [paired_bootstrap, approximate_randomisation])
RUNS = pytest.mark.parametrize("runs", ["fixed", "resampled", "student"])

# one seed; four documents of 4 gold items each
VARIANT = np.array([[[3, 1, 1], [2, 0, 2], [4, 2, 0], [1, 2, 3]]])
BASELINE = np.array([[[2, 1, 2], [2, 1, 2], [2, 0, 2], [2, 2, 2]]])


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def f1(counts: Iterable[np.ndarray]) -> float:
    """Of the documents of one seed, by the model's own metric."""
    return sum((Counts(*map(int, of)) for of in counts), Counts()).f1


def within(p: float, exact: float, resamples: int) -> bool:
    """Whether p is that of so many draws: within five standard errors of the exact one."""
    return abs(p - exact) <= 5 * math.sqrt(exact * (1 - exact) / resamples) + 2 / resamples


# --------------------------------------------------------------------------------------------------------------- scores


def test_scores_are_those_of_the_models_own_metric():
    counts = drawn(seeded(), 3, 20)[0]
    pooled = [sum((Counts(*map(int, of)) for of in seed), Counts()) for seed in counts]
    for statistic in ("precision", "recall", "f1"):
        assert micro.scores(counts, statistic).tolist() == pytest.approx([getattr(one, statistic) for one in pooled])


def test_a_score_is_made_of_summed_counts_and_is_no_mean_over_documents():
    # 1 of 1 found in one document, 1 of 9 in the other: F1 is 2 * 2 / (2 * 2 + 0 + 8), not (100 + 20) / 2
    assert micro.scores([[[1, 0, 0], [1, 0, 8]]], "f1").tolist() == pytest.approx([100 / 3])


def test_where_there_is_nothing_to_find_and_nothing_found_scores_are_0():
    nothing = np.zeros((2, 3, 3), dtype=int)
    for statistic in ("precision", "recall", "f1"):
        assert micro.scores(nothing, statistic).tolist() == [0.0, 0.0]
    # items missed, none predicted: no precision to speak of
    assert micro.scores([[[0, 0, 5]]], "precision").tolist() == [0.0]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (np.zeros((2, 0, 3), dtype=int), "2 seeds and 0 documents"),
        (np.zeros((0, 4, 3), dtype=int), "0 seeds and 4 documents"),
        (np.zeros((4, 3), dtype=int), r"\(seeds, documents, 3\)"),
        (np.zeros((1, 4, 2), dtype=int), r"shape \(1, 4, 2\)"),
        (np.full((1, 4, 3), np.nan), "float64, wanted integers"),
        (np.full((1, 4, 3), 1.0), "float64, wanted integers"),
        (np.full((1, 4, 3), -1), "a count is -1"),
    ],
)
def test_what_is_no_count_is_refused(counts, told):
    with pytest.raises(ValueError, match=told):
        micro.scores(counts)
    with pytest.raises(ValueError, match=told):
        paired_bootstrap(counts, counts, seeded())


# --------------------------------------------------------------------------------------------- enumerated, and by scipy


def test_the_bootstrap_is_what_all_resamples_of_the_documents_give():
    observed = f1(VARIANT[0]) - f1(BASELINE[0])
    every = [f1(VARIANT[0, list(of)]) - f1(BASELINE[0, list(of)]) for of in itertools.product(range(4), repeat=4)]
    exact = np.mean([abs(one - observed) >= abs(observed) - 1e-9 for one in every])
    assert 0.2 < exact < 0.8
    found = paired_bootstrap(VARIANT, BASELINE, seeded(), resamples=20_000, level=0.8)
    assert found.difference == pytest.approx(observed)
    assert found.p is not None and within(found.p, float(exact), 20_000)
    # percentiles of so few values are steps, with the right shares of them beyond
    assert found.low is not None and found.high is not None
    assert np.mean(np.array(every) < found.low - 1e-9) <= 0.11 and np.mean(np.array(every) <= found.low + 1e-9) >= 0.09
    assert (
        np.mean(np.array(every) > found.high + 1e-9) <= 0.11 and np.mean(np.array(every) >= found.high - 1e-9) >= 0.09
    )


def test_approximate_randomisation_is_what_all_swaps_of_documents_give():
    observed = f1(VARIANT[0]) - f1(BASELINE[0])
    extreme = 0
    for swapped in itertools.product([False, True], repeat=4):
        one = [BASELINE[0, d] if swap else VARIANT[0, d] for d, swap in enumerate(swapped)]
        other = [VARIANT[0, d] if swap else BASELINE[0, d] for d, swap in enumerate(swapped)]
        extreme += abs(f1(one) - f1(other)) >= abs(observed) - 1e-9
    assert 2 < extreme < 14
    found = approximate_randomisation(VARIANT, BASELINE, seeded(), resamples=20_000)
    assert found.p is not None and within(found.p, extreme / 16, 20_000)


@pytest.mark.parametrize("statistic", ["precision", "recall", "f1"])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_approximate_randomisation_agrees_with_the_permutation_test_of_scipy(statistic, n_seeds):
    n = 10
    variant, baseline = drawn(seeded(4), n_seeds, n, gains=(0.4, 0.0))
    rows = np.concatenate([variant, baseline], axis=1)

    def difference(one: np.ndarray, other: np.ndarray) -> float:
        at = [np.asarray(of, dtype=int) for of in (one, other)]
        return float(np.subtract(*(micro.scores(rows[:, of], statistic).mean() for of in at)))

    theirs = scipy.stats.permutation_test(
        (np.arange(n), np.arange(n) + n), difference, permutation_type="samples", vectorized=False, n_resamples=np.inf
    )
    assert 0.002 < theirs.pvalue < 0.9
    found = approximate_randomisation(variant, baseline, seeded(), statistic=statistic, resamples=20_000, runs="fixed")
    assert found.difference == pytest.approx(theirs.statistic)
    assert found.p is not None and within(found.p, float(theirs.pvalue), 20_000)


@pytest.mark.parametrize("statistic", ["precision", "recall", "f1"])
def test_the_interval_of_the_bootstrap_agrees_with_the_bootstrap_of_scipy(statistic):
    variant, baseline = drawn(seeded(4), 2, 60, gains=(0.4, 0.0))

    def difference(of: np.ndarray) -> float:
        scores = [micro.scores(counts[:, of], statistic).mean() for counts in (variant, baseline)]
        return float(np.subtract(*scores))

    theirs = scipy.stats.bootstrap(
        (np.arange(60),), difference, method="percentile", vectorized=False, n_resamples=4000, rng=seeded(1)
    )
    found = paired_bootstrap(variant, baseline, seeded(), statistic=statistic, resamples=20_000, runs="fixed")
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)


# ---------------------------------------------------------------------------------------------------- the second level


def by_seed(*correct: int, n_documents: int = 30) -> np.ndarray:
    """Counts of which each seed finds as many of 20 items in every document: documents make no difference."""
    return np.array([[[c, 20 - c, 20 - c]] * n_documents for c in correct])


def test_where_seeds_make_all_of_the_difference_this_is_the_paired_t_test():
    variant, baseline = by_seed(12, 13, 11, 14, 13), by_seed(11, 11, 11, 12, 12)
    theirs: Any = scipy.stats.ttest_rel(micro.scores(variant), micro.scores(baseline))
    low, high = theirs.confidence_interval(0.9)
    found = paired_bootstrap(variant, baseline, seeded(), resamples=50_000, level=0.9)
    assert found.p is not None and within(found.p, theirs.pvalue, 50_000)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.3)
    # swapping documents spreads, even if all of them differ alike
    found = approximate_randomisation(variant, baseline, seeded(), resamples=50_000)
    assert found.p == pytest.approx(theirs.pvalue, abs=0.02)
    assert found.scope == "documents and training runs"


def test_without_pairs_of_seeds_it_is_the_t_test_of_welch():
    variant, baseline = by_seed(12, 13, 11, 14, 13), by_seed(11, 10, 12)
    theirs: Any = scipy.stats.ttest_ind(micro.scores(variant), micro.scores(baseline), equal_var=False)
    found = paired_bootstrap(variant, baseline, seeded(), resamples=50_000, paired=False)
    assert found.difference == pytest.approx(8.0)
    assert found.p is not None and within(found.p, theirs.pvalue, 50_000)


def test_seeds_that_are_resampled_give_what_all_resamples_of_the_seeds_give():
    variant, baseline = by_seed(12, 13, 11), by_seed(11, 11, 12)
    differences = micro.scores(variant) - micro.scores(baseline)
    of_all = [differences[list(of)].mean() for of in itertools.product(range(3), repeat=3)]
    exact = np.mean([abs(one - differences.mean()) >= abs(differences.mean()) - 1e-9 for one in of_all])
    found = paired_bootstrap(variant, baseline, seeded(), resamples=20_000, runs="resampled")
    assert found.p is not None and within(found.p, float(exact), 20_000)


def test_pairs_of_seeds_keep_together_when_seeds_are_resampled():
    # every seed of the variant is 5 points above the same seed of the baseline, however much seeds differ
    variant, baseline = by_seed(10, 13, 16, 19), by_seed(9, 12, 15, 18)
    paired = paired_bootstrap(variant, baseline, seeded(), runs="resampled")
    apart = paired_bootstrap(variant, baseline, seeded(), runs="resampled", paired=False)
    assert paired.low == pytest.approx(5.0) and paired.high == pytest.approx(5.0)
    assert apart.low is not None and apart.low < -5.0


@BOTH
def test_with_fixed_runs_a_lucky_seed_counts_as_much_as_any_other_gain(test):
    variant, baseline = drawn(seeded(6), 3, 100, by_run=0.5)
    p = {runs: test(variant, baseline, seeded(), runs=runs).p for runs in ("fixed", "student")}
    assert p["fixed"] < 0.01 < 0.2 < p["student"]


@BOTH
@RUNS
def test_a_single_seed_has_no_second_level_and_the_scope_tells(test, runs):
    variant, baseline = drawn(seeded(), 1, 30)
    found = test(variant, baseline, seeded(), runs=runs)
    assert found.scope == "documents"
    assert found == test(variant, baseline, seeded(), runs="fixed")


def test_systems_with_other_seeds_are_bootstrapped_but_not_swapped():
    variant, baseline = drawn(seeded(), 5, 30)[0], drawn(seeded(1), 3, 30)[0]
    assert paired_bootstrap(variant, baseline, seeded(), paired=False).p is not None
    for test in (paired_bootstrap, approximate_randomisation):
        with pytest.raises(ValueError, match="the variant has 5 seeds, the baseline 3"):
            test(variant, baseline, seeded())


# ------------------------------------------------------------------------------------------------- of any counts at all

DIMENSIONS = st.tuples(st.just(2), st.integers(1, 3), st.integers(1, 6), st.just(3))
COUNTS = DIMENSIONS.flatmap(lambda shape: numpy_st.arrays(np.int64, shape, elements=st.integers(0, 9)))


@BOTH
@RUNS
@settings(max_examples=60, deadline=None)
@given(both=COUNTS)
def test_when_systems_change_places_the_difference_changes_its_sign_and_p_stays(test, runs, both):
    one = test(both[0], both[1], seeded(), runs=runs, resamples=200)
    other = test(both[1], both[0], seeded(), runs=runs, resamples=200)
    assert other.difference == -one.difference
    assert other.p == one.p
    # without a difference there is no sign to change: the deviations by runs are drawn as before
    if one.low is not None and one.difference:
        assert -100 <= one.low <= one.high <= 100
        assert other.high == pytest.approx(-one.low) and other.low == pytest.approx(-one.high)


@BOTH
@RUNS
@settings(max_examples=30, deadline=None)
@given(both=COUNTS)
def test_a_system_does_not_differ_from_itself(test, runs, both):
    found = test(both[0], both[0], seeded(), runs=runs, resamples=100)
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.low in (None, 0.0) and found.high in (None, 0.0)


@BOTH
@RUNS
@settings(max_examples=60, deadline=None)
@given(both=COUNTS, times=st.integers(2, 5))
def test_items_that_all_count_several_times_change_nothing(test, runs, both, times):
    assert test(both[0], both[1], seeded(), runs=runs, resamples=100) == test(
        both[0] * times, both[1] * times, seeded(), runs=runs, resamples=100
    )


@BOTH
@settings(max_examples=60, deadline=None)
@given(both=COUNTS)
def test_p_is_a_probability_that_no_fewer_documents_could_have_given(test, both):
    found = test(both[0], both[1], seeded(), resamples=99)
    assert found.least_p == max(2.0 ** (1 - both.shape[2]), 0.01)
    assert found.least_p <= found.p <= 1.0


@BOTH
def test_the_order_of_documents_does_not_matter_beyond_the_draws(test):
    variant, baseline = drawn(seeded(7), 2, 40, gains=(0.25, 0.0))
    p = test(variant, baseline, seeded(), runs="fixed").p
    assert 0.002 < p < 0.5
    for seed in range(3):
        order = seeded(seed).permutation(40)
        assert within(test(variant[:, order], baseline[:, order], seeded(), runs="fixed").p, p, 5000)


@BOTH
@RUNS
def test_one_generator_gives_one_result_and_two_give_two(test: Callable[..., Any], runs):
    variant, baseline = drawn(seeded(7), 3, 40, gains=(0.2, 0.0))
    assert test(variant, baseline, seeded(1), runs=runs) == test(variant, baseline, seeded(1), runs=runs)
    assert test(variant, baseline, seeded(1), runs=runs) != test(variant, baseline, seeded(2), runs=runs)


# ----------------------------------------------------------------------------------------------------------------- ends


@BOTH
def test_one_document_tells_nothing(test):
    found = test([[[9, 0, 1]]], [[[1, 9, 9]]], seeded())
    assert found.difference > 0
    assert (found.p, found.least_p, found.low, found.high) == (1.0, 1.0, None, None)


def test_documents_that_all_favour_one_system_are_believed_no_more_than_their_number_allows():
    # each resample of five documents that are all alike gives the same difference
    found = paired_bootstrap([[[9, 0, 1]] * 5], [[[1, 9, 9]] * 5], seeded())
    assert found.p == found.least_p == 0.0625


@BOTH
def test_where_nothing_was_found_by_either_nothing_differs(test):
    nothing = np.zeros((2, 5, 3), dtype=int)
    found = test(nothing, nothing, seeded())
    assert (found.difference, found.p) == (0.0, 1.0)


@BOTH
def test_p_is_never_0(test):
    found = test([[[9, 0, 1]] * 50], [[[1, 9, 9]] * 50], seeded(), resamples=199)
    assert found.p == found.least_p == 0.005


@BOTH
def test_other_documents_are_refused(test):
    with pytest.raises(ValueError, match="4 documents, the baseline of 3"):
        test(VARIANT, BASELINE[:, :3], seeded())


@BOTH
@pytest.mark.parametrize("resamples", [0, -1])
def test_no_resamples_are_refused(test, resamples):
    with pytest.raises(ValueError, match=f"{resamples} resamples, wanted at least 1"):
        test(VARIANT, BASELINE, seeded(), resamples=resamples)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, math.nan])
def test_an_interval_of_no_level_is_refused(level):
    with pytest.raises(ValueError, match="wanted a number between 0 and 1"):
        paired_bootstrap(VARIANT, BASELINE, seeded(), level=level)


def test_large_counts_are_summed_exactly_or_refused():
    # 2 * 3e6 items in each of 4 documents are too many for single precision; one item more or less is still seen
    many = VARIANT + 3_000_000
    fewer = many.copy()
    fewer[0, 0, 0] -= 1
    found = paired_bootstrap(many, fewer, seeded(), resamples=500)
    assert 0 < found.difference < 1e-5 and found.low == 0.0
    with pytest.raises(ValueError, match="double precision"):
        paired_bootstrap(VARIANT + 2**51, BASELINE + 2**51, seeded())


@BOTH
def test_memory_does_not_grow_with_the_resamples(test):
    # all weights at once, 20,000 x 2,000 in double precision, would be 320 MB
    variant, baseline = drawn(seeded(), 2, 2000)
    test(variant, baseline, seeded(), resamples=10)
    tracemalloc.start()
    try:
        test(variant, baseline, seeded(), resamples=20_000)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
