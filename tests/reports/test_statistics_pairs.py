"""Tests with the seed as paired unit, Holm, effect sizes, almost stochastic order: against scipy and statsmodels."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from reports.statistics.correction import holm, least_sign_flip_p, pairs_needed
from reports.statistics.dominance import DOMINATES, almost_stochastic_order
from reports.statistics.effects import effects, unbiasing
from reports.statistics.pairs import ENUMERATED, paired_t, sign_flip

SCORES = st.integers(1, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.floats(0, 100).map(lambda x: round(x, 2)), min_size=n, max_size=n)] * 2)
)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def two(n: int, seed: int = 0, gain: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    drawn = seeded(seed).normal(43.0, 1.5, (2, n))
    return drawn[0] + gain, drawn[1]


# ------------------------------------------------------------------------------------------------------------ paired t


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_paired_t_test_is_that_of_scipy_with_its_interval(n, level):
    variant, baseline = two(n, seed=n)
    theirs: Any = scipy.stats.ttest_rel(variant, baseline)
    ours = paired_t(variant, baseline, level)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(level)))
    assert ours.difference == pytest.approx(variant.mean() - baseline.mean())
    assert (ours.scope, ours.least_p) == ("training runs", 0.0)


def test_t_of_differences_1_2_3_is_2_times_the_root_of_3():
    # mean 2, deviation 1, standard error 1 / sqrt(3); of two degrees of freedom P(|T| > t) = 1 - t / sqrt(2 + t^2)
    t = 2 * math.sqrt(3)
    assert paired_t([41.0, 42.0, 43.0], [40.0, 40.0, 40.0]).p == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_where_there_is_no_variance_there_is_no_p_but_its_reason():
    one = paired_t([42.0], [41.0])
    assert (one.difference, one.p, one.least_p, one.low) == (1.0, None, 1.0, None)
    assert one.undefined is not None and "single pair" in one.undefined
    assert paired_t([42.0], [42.0]).p is None
    # 0.1 more at each seed: the differences are equal but for rounding
    scores = np.array([41.7, 42.3, 43.9, 40.1])
    alike = paired_t(scores + 0.1, scores)
    assert (alike.p, alike.least_p) == (None, 1.0)
    assert alike.undefined == "all 4 seeds differ by the same amount"


# ------------------------------------------------------------------------------------------------------------ sign-flip


@given(SCORES)
def test_sign_flip_is_the_share_of_patterns_of_signs_that_are_as_far_from_0(scores):
    variant, baseline = scores
    differences = [round(one - other, 2) for one, other in zip(variant, baseline, strict=True)]
    patterns = itertools.product((1, -1), repeat=len(differences))
    extreme = [abs(np.dot(signs, differences)) >= abs(sum(differences)) - 1e-6 for signs in patterns]
    assert sign_flip(variant, baseline, seeded()).p == np.mean(extreme)


@pytest.mark.parametrize("n", [3, 5, 9, 12])
def test_sign_flip_is_the_permutation_test_of_scipy(n):
    variant, baseline = two(n, seed=n)
    theirs = scipy.stats.permutation_test(
        (variant - baseline,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    ours = sign_flip(variant, baseline, seeded())
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == (paired_t(variant, baseline).low, paired_t(variant, baseline).high)


def test_of_many_pairs_patterns_are_drawn_and_give_nearly_what_scipy_draws():
    variant, baseline = two(ENUMERATED + 10, gain=1.3)
    theirs = scipy.stats.permutation_test(
        (variant - baseline,), np.mean, permutation_type="samples", n_resamples=50_000, rng=seeded(1)
    )
    ours = sign_flip(variant, baseline, seeded(), resamples=50_000)
    assert ours.p is not None and 0.001 < ours.p < 0.5
    assert ours.p == pytest.approx(theirs.pvalue, abs=5 * math.sqrt(2 * ours.p / 50_000))
    assert ours.least_p == 1 / 50_001
    assert sign_flip(variant, baseline, seeded(3)).p != sign_flip(variant, baseline, seeded(4)).p
    with pytest.raises(ValueError, match="0 resamples"):
        sign_flip(variant, baseline, seeded(), resamples=0)


def test_what_is_drawn_of_many_pairs_continues_what_is_enumerated_of_few(monkeypatch):
    variant, baseline = two(10, gain=0.8)
    exact = sign_flip(variant, baseline, seeded()).p
    monkeypatch.setattr("reports.statistics.pairs.ENUMERATED", 5)
    drawn = sign_flip(variant, baseline, seeded(), resamples=50_000).p
    assert exact is not None and drawn == pytest.approx(exact, abs=5 * math.sqrt(exact / 50_000))


def test_five_seeds_that_all_gain_cannot_go_below_0_0625():
    found = sign_flip([42.0, 43.0, 44.0, 45.0, 46.0], [41.0, 41.5, 40.0, 44.0, 41.0], seeded())
    assert found.p == found.least_p == 0.0625


def test_differences_that_sum_to_0_are_told_from_others_in_spite_of_rounding():
    # 0.1 + 0.2 - 0.3 is not 0 in binary; every pattern is as far from 0 as the observed one
    assert sign_flip([40.1, 40.2, 40.0], [40.0, 40.0, 40.3], seeded()).p == 1.0


# ----------------------------------------------------------------------------------------------- of any scores, by both


def by_t(variant, baseline):
    return paired_t(variant, baseline)


def by_signs(variant, baseline):
    return sign_flip(variant, baseline, seeded())


TESTS = pytest.mark.parametrize("test", [by_t, by_signs])


@TESTS
@given(scores=SCORES)
def test_when_systems_change_places_the_difference_changes_its_sign_and_p_stays(test, scores):
    one, other = test(*scores), test(*scores[::-1])
    assert other.difference == -one.difference
    assert other.p == (None if one.p is None else pytest.approx(one.p))
    if one.low is not None:
        assert (other.low, other.high) == (pytest.approx(-one.high), pytest.approx(-one.low))


@TESTS
@given(scores=SCORES, more=st.integers(-50, 50))
def test_a_constant_that_is_added_to_all_scores_changes_nothing(test, scores, more):
    one, other = test(*scores), test(*(np.asarray(of) + more for of in scores))
    assert other.difference == pytest.approx(one.difference, abs=1e-9)
    assert other.p == (None if one.p is None else pytest.approx(one.p, abs=1e-6))


@TESTS
@given(scores=SCORES, order=st.randoms())
def test_the_order_of_seeds_does_not_matter(test, scores, order):
    pairs = list(zip(*scores, strict=True))
    order.shuffle(pairs)
    one, other = test(*scores), test(*zip(*pairs, strict=True))
    assert other.p == (None if one.p is None else pytest.approx(one.p))


@TESTS
def test_a_system_does_not_differ_from_itself(test):
    found = test([41.0, 42.0, 43.0], [41.0, 42.0, 43.0])
    assert (found.difference, found.p, found.low, found.high) == (0.0, 1.0, None, None)


@pytest.mark.parametrize("of", [by_t, by_signs, effects])
@pytest.mark.parametrize(
    ("variant", "baseline", "told"),
    [
        ([], [], "at least one"),
        ([1.0, 2.0], [1.0], r"shapes \(2,\) and \(1,\)"),
        ([1.0, math.nan], [1.0, 2.0], "wanted numbers that are finite"),
        ([1.0, 2.0], [1.0, math.inf], "wanted numbers that are finite"),
        ([[1.0]], [[2.0]], "one a seed"),
    ],
)
def test_what_is_no_score_of_a_pair_of_seeds_is_refused(of, variant, baseline, told):
    with pytest.raises(ValueError, match=told):
        of(variant, baseline)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_an_interval_of_no_level_is_refused(level):
    with pytest.raises(ValueError, match="wanted a number between 0 and 1"):
        paired_t([1.0, 2.0], [0.0, 3.0], level)


# ----------------------------------------------------------------------------------------------------------------- Holm


def test_holm_by_head():
    # 0.01 * 4, 0.02 * 3, 0.03 * 2 (not less than the one before), 0.5 * 1
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx((0.06, 0.5, 0.04, 0.06))
    assert holm([]) == ()
    assert holm([0.04]) == (0.04,)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_that_of_statsmodels(p):
    rejected, adjusted, _, _ = multipletests(p, alpha=0.05, method="holm")
    assert holm(p) == pytest.approx(adjusted)
    # at alpha itself theirs and ours may round differently
    clear = [abs(of - 0.05) > 1e-9 for of in adjusted]
    assert [of <= 0.05 for of, c in zip(holm(p), clear, strict=True) if c] == rejected[clear].tolist()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), min_size=1, max_size=10))
def test_no_data_give_a_smaller_adjusted_p_than_the_least_p_adjusted(pairs):
    least, found = zip(*pairs, strict=True)
    assert all(a <= b for a, b in zip(holm(least), holm(found), strict=True))


@pytest.mark.parametrize("p", [[0.1, math.nan], [-0.1], [1.1]])
def test_holm_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="wanted numbers from 0 to 1"):
        holm(p)


def test_how_many_pairs_a_sign_flip_needs():
    assert [least_sign_flip_p(n) for n in (0, 1, 2, 5, 6)] == [1.0, 1.0, 0.5, 0.0625, 0.03125]
    assert [pairs_needed(0.05, m) for m in (1, 2, 6)] == [6, 7, 8]
    assert all(m * least_sign_flip_p(pairs_needed(0.01, m)) <= 0.01 for m in range(1, 50))
    assert all(m * least_sign_flip_p(pairs_needed(0.01, m) - 1) > 0.01 for m in range(1, 50))
    with pytest.raises(ValueError, match="alpha 5"):
        pairs_needed(5)


# --------------------------------------------------------------------------------------------------------- effect sizes


def test_effect_sizes_by_head():
    # differences 1, 2, 3: mean 2, deviation 1; of 9 pairs of runs 8 are won and one (42 against 42) tied
    found = effects([42.0, 44.0, 46.0], [41.0, 42.0, 43.0])
    assert found.d_z == pytest.approx(2.0)
    # J of two degrees of freedom is 1 / sqrt(pi)
    assert found.hedges_g == pytest.approx(2.0 / math.sqrt(math.pi))
    assert found.superiority == pytest.approx((7 + 0.5) / 9)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_superiority_is_the_statistic_of_mann_and_whitney(n):
    variant, baseline = np.round(two(n, seed=n), 0)
    theirs = scipy.stats.mannwhitneyu(variant, baseline).statistic / n**2
    assert effects(variant, baseline).superiority == pytest.approx(theirs)
    assert effects(variant, baseline, better="lower").superiority == pytest.approx(1 - theirs)


def test_g_has_no_bias_where_d_has():
    # differences of mean 1 and deviation 1, five at a time
    drawn = seeded().normal(1.0, 1.0, (20_000, 5))
    found = [effects(of, np.zeros(5)) for of in drawn]
    d, g = np.mean([of.d_z for of in found]), np.mean([of.hedges_g for of in found])
    assert d == pytest.approx(1.25, abs=0.02)
    assert g == pytest.approx(1.0, abs=0.02)
    # Hedges' approximation, 1 - 3 / (4m - 1)
    assert unbiasing(30) == pytest.approx(1 - 3 / 119, abs=1e-4)


def test_effects_that_are_undefined_are_none():
    assert effects([1.0], [2.0]).superiority is None
    assert effects([1.0, 3.0], [2.0, 1.0]).hedges_g is None
    assert effects([1.0, 3.0], [2.0, 1.0]).d_z is not None
    alike = effects([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])
    assert (alike.d_z, alike.hedges_g, alike.superiority) == (None, None, pytest.approx(6 / 9))


# ---------------------------------------------------------------------------------------------- almost stochastic order


def test_what_is_above_in_every_quantile_dominates_and_the_other_does_not():
    high, low = [43.0, 44.0, 45.0, 46.0], [38.0, 39.0, 40.0, 41.0]
    before = np.random.get_state()[1].tolist()
    assert almost_stochastic_order(high, low, 0, resamples=50) == 0.0 < DOMINATES
    assert np.random.get_state()[1].tolist() == before
    assert almost_stochastic_order(low, high, 0, resamples=50) == pytest.approx(1.0, abs=0.01)


def test_more_comparisons_make_the_bound_of_almost_stochastic_order_wider():
    variant, baseline = two(8, seed=5, gain=1.2)
    bounds = [
        almost_stochastic_order(variant, baseline, 1, resamples=50, n_comparisons=n, alpha=a)
        for n, a in ((1, 0.2), (1, 0.05), (5, 0.05), (20, 0.05))
    ]
    assert 0.0 < bounds[0] < bounds[1] < bounds[2] < bounds[3] < 1.0
    assert almost_stochastic_order(variant, baseline, 1, resamples=50) == bounds[1]
    assert almost_stochastic_order(variant, baseline, 2, resamples=50) != bounds[1]


def test_too_few_or_equal_scores_have_no_order():
    assert almost_stochastic_order([1.0], [2.0], 0) is None
    assert almost_stochastic_order([1.0, 1.0], [1.0, 1.0], 0) is None
    with pytest.raises(ValueError, match="finite"):
        almost_stochastic_order([1.0, math.nan], [1.0, 2.0], 0)


def test_without_the_library_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepsig", None)
    with pytest.raises(ImportError, match="pip install 'deepsig"):
        almost_stochastic_order([1.0, 2.0], [3.0, 4.0], 0)


def test_nothing_else_needs_the_library_nor_statsmodels():
    code = "import sys, reports.statistics.family; print({'deepsig', 'statsmodels', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
