"""Comparisons of a family: verdicts, what they rest on, and how often they are wrong and right."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.stats
from pydantic import TypeAdapter

from reports.statistics import micro
from reports.statistics.documents import approximate_randomisation, paired_bootstrap
from reports.statistics.family import Comparison, Family, Pair, System, compare
from reports.statistics.pairs import paired_t, sign_flip
from tests.reports.counted import drawn

TESTS = ("paired bootstrap", "approximate randomisation", "paired t", "sign-flip")
SEEDS = (1, 2, 3, 4, 5)


def seeded(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def scored(*scores: float, seeds: tuple[int, ...] | None = None) -> System:
    return System(seeds or tuple(range(1, len(scores) + 1)), scores=np.array(scores))


def counted(counts: np.ndarray, seeds: tuple[int, ...] | None = None) -> System:
    return System(seeds or tuple(range(1, len(counts) + 1)), counts=counts)


def of_gains(*gains: float, n_seeds: int = 5, n_documents: int = 60, seed: int = 0) -> dict[str, Pair]:
    """A variant for each gain, on one baseline without."""
    baseline, *variants = (counted(of) for of in drawn(seeded(seed), n_seeds, n_documents, (0.0, *gains)))
    return {f"{n}: {gain}": Pair(of, baseline) for n, (gain, of) in enumerate(zip(gains, variants, strict=True))}


BASELINE = scored(40.0, 41.0, 42.0, 43.0, 44.0)
SOME = scored(41.3, 42.0, 43.4, 44.1, 45.2)
SAME = scored(40.2, 40.7, 42.1, 43.1, 43.8)


# ---------------------------------------------------------------------------------------------- what a verdict rests on


@pytest.mark.parametrize("test", TESTS)
def test_a_comparison_holds_the_numbers_of_its_test(test):
    pairs = of_gains(0.3)
    family = Family(test, alpha=0.1, resamples=500, seed=3)
    (found,) = compare(family, pairs).values()
    (pair,) = pairs.values()
    counts = pair.variant.counts, pair.baseline.counts
    scores = [micro.scores(of) for of in counts if of is not None]
    assert found.difference == pytest.approx(scores[0].mean() - scores[1].mean())
    bootstrap = paired_bootstrap(*counts, np.random.default_rng(3), resamples=500, level=0.9)
    alone = {
        "paired bootstrap": bootstrap,
        "approximate randomisation": approximate_randomisation(*counts, np.random.default_rng(3), resamples=500),
        "paired t": paired_t(*scores, level=0.9),
        "sign-flip": sign_flip(*scores, np.random.default_rng(3)),
    }[test]
    with_interval = bootstrap if found.unit == "document" else paired_t(*scores, level=0.9)
    assert (found.p, found.scope) == (alone.p, alone.scope)
    assert (found.low, found.high) == (with_interval.low, with_interval.high)
    assert (found.p_adjusted, found.n_comparisons, found.n_seeds) == (found.p, 1, 5)
    assert found.n_documents == (60 if found.unit == "document" else None)
    assert (found.test, found.alpha, found.correction) == (test, 0.1, "holm")


def test_the_verdict_is_by_the_adjusted_p_and_the_sign():
    worse = scored(*(float(2 * of - other) for of, other in zip(BASELINE.scores, SOME.scores, strict=True)))
    pairs = {name: Pair(of, BASELINE) for name, of in (("some", SOME), ("worse", worse), ("same", SAME))}
    found = compare(Family("paired t"), pairs)
    assert {name: of.verdict for name, of in found.items()} == {
        "some": "better",
        "worse": "worse",
        "same": "no difference shown",
    }
    assert found["some"].p_adjusted == pytest.approx(3 * found["some"].p)
    assert found["same"].p_adjusted == found["same"].p
    assert all(of.why is None for of in found.values())


def test_where_lower_is_better_a_loss_is_a_gain():
    found = compare(Family("paired t"), {"some": Pair(SOME, BASELINE, better="lower")})["some"]
    assert found.verdict == "worse"
    assert found.difference == pytest.approx(1.2)
    assert found.effects is not None and found.effects.superiority is not None and found.effects.superiority < 0.5


def test_what_is_better_alone_may_not_be_in_a_family_of_many():
    scores = np.array([41.0, 41.2, 43.9, 43.6, 45.8])
    alone = compare(Family("paired t"), {"it": Pair(scored(*scores), BASELINE)})["it"]
    assert alone.verdict == "better" and alone.p is not None and 0.01 < alone.p < 0.05
    others = {n: Pair(SAME, BASELINE) for n in range(4)}
    among = compare(Family("paired t"), {"it": Pair(scored(*scores), BASELINE), **others})["it"]
    assert (among.verdict, among.p, among.p_adjusted) == ("no difference shown", alone.p, pytest.approx(5 * alone.p))
    uncorrected = compare(Family("paired t", correction="none"), {"it": Pair(scored(*scores), BASELINE), **others})[
        "it"
    ]
    assert (uncorrected.verdict, uncorrected.p_adjusted) == ("better", alone.p)


def test_precision_and_recall_can_be_compared_too():
    pair = of_gains(0.5)["0: 0.5"]
    differences = {
        statistic: compare(Family("paired t"), {1: dataclasses.replace(pair, statistic=statistic)})[1].difference
        for statistic in ("precision", "recall", "f1")
    }
    assert len(set(differences.values())) == 3
    scores = [micro.scores(of.counts, "recall").mean() for of in (pair.variant, pair.baseline) if of.counts is not None]
    assert differences["recall"] == pytest.approx(scores[0] - scores[1])


# --------------------------------------------------------------------------------------------------- cannot reach alpha


def test_five_seeds_that_all_gain_cannot_reach_alpha_by_flipping_signs():
    found = compare(Family("sign-flip"), {"some": Pair(SOME, BASELINE)})["some"]
    assert (found.verdict, found.p, found.least_p_adjusted) == ("cannot reach alpha", 0.0625, 0.0625)
    assert found.why == "with 5 seeds p is never below 0.0625; 6 would be enough"


def test_eight_seeds_reach_alpha_in_a_family_of_six_but_not_of_seven():
    baseline, variant = scored(*range(40, 48)), scored(*(of + 1 + of / 100 for of in range(40, 48)))
    six = compare(Family("sign-flip"), {n: Pair(variant, baseline) for n in range(6)})
    assert {of.verdict for of in six.values()} == {"better"}
    seven = compare(Family("sign-flip"), {n: Pair(variant, baseline) for n in range(7)})
    assert {of.verdict for of in seven.values()} == {"cannot reach alpha"}
    assert seven[0].why == "with 8 seeds p adjusted is never below 0.0547; 9 would be enough"
    uncorrected = compare(Family("sign-flip", correction="none"), {n: Pair(variant, baseline) for n in range(7)})
    assert {of.verdict for of in uncorrected.values()} == {"better"}


@pytest.mark.parametrize("test", ["paired bootstrap", "approximate randomisation"])
def test_few_documents_and_few_resamples_cannot_reach_alpha(test):
    five = compare(Family(test), of_gains(5.0, n_documents=5))["0: 5.0"]
    assert (five.verdict, five.why) == (
        "cannot reach alpha",
        "with 5 documents p is never below 0.0625; 6 would be enough",
    )
    nine = compare(Family(test, resamples=9), of_gains(5.0))["0: 5.0"]
    assert (nine.verdict, nine.why) == (
        "cannot reach alpha",
        "with 9 resamples p is never below 0.1; 19 would be enough",
    )
    assert compare(Family(test, resamples=19), of_gains(5.0))["0: 5.0"].verdict == "better"
    two = compare(Family(test, resamples=19), of_gains(5.0, 5.0))["0: 5.0"]
    assert two.why == "with 19 resamples p adjusted is never below 0.1; 39 would be enough"
    assert compare(Family(test, resamples=39), of_gains(5.0, 5.0))["0: 5.0"].verdict == "better"


@pytest.mark.parametrize("test", ["paired t", "sign-flip"])
def test_one_seed_cannot_reach_alpha(test):
    found = compare(Family(test), {"some": Pair(scored(45.0), scored(40.0))})["some"]
    assert (found.verdict, found.difference, found.low, found.least_p_adjusted) == (
        "cannot reach alpha",
        5.0,
        None,
        1.0,
    )
    assert found.why is not None and ("single pair" in found.why or "with 1 seed p" in found.why)


def test_seeds_that_change_nothing_are_no_replicates_for_t():
    found = compare(Family("paired t"), {"it": Pair(scored(45.0, 45.0, 45.0), scored(40.0, 40.0, 40.0))})["it"]
    assert (found.verdict, found.p, found.p_adjusted) == ("cannot reach alpha", None, None)
    assert found.why == "all 3 seeds differ by the same amount"


def test_what_failed_stays_in_the_family():
    nothing = System(())
    found = compare(Family("paired t"), {"some": Pair(SOME, BASELINE), "failed": Pair(nothing, BASELINE)})
    assert found["some"].p_adjusted == pytest.approx(2 * found["some"].p)
    failed = found["failed"]
    assert (failed.verdict, failed.why, failed.n_comparisons) == ("cannot reach alpha", "no seed is there of both", 2)
    assert (failed.difference, failed.p, failed.effects, failed.scope) == (None, None, None, None)


# -------------------------------------------------------------------------------------------- seeds, documents, systems


@pytest.mark.parametrize("test", TESTS)
def test_seeds_that_only_one_has_are_left_out(test):
    pair = of_gains(0.3)["0: 0.3"]
    variant, baseline = pair.variant, pair.baseline
    found = compare(Family(test, resamples=200), {1: Pair(variant.of((5, 2, 1)), baseline.of((4, 1, 3, 5)))})[1]
    assert found.seeds == (1, 5)
    both = Pair(variant.of((1, 5)), baseline.of((1, 5)))
    assert compare(Family(test, resamples=200), {1: both})[1] == found


@pytest.mark.parametrize("test", TESTS)
def test_seeds_are_paired_by_what_they_are_and_not_by_where_they_stand(test):
    pair = of_gains(0.3)["0: 0.3"]
    assert pair.variant.counts is not None
    turned = Pair(counted(pair.variant.counts[[2, 0, 4, 3, 1]], seeds=(3, 1, 5, 4, 2)), pair.baseline)
    assert compare(Family(test, resamples=200), {1: turned}) == compare(Family(test, resamples=200), {1: pair})


@pytest.mark.parametrize("test", TESTS)
def test_the_same_family_gives_the_same_bytes_and_no_pair_changes_another(test):
    pairs = of_gains(0.0, 0.2, 0.4)
    family = Family(test, resamples=300)
    json = TypeAdapter(dict[str, Comparison]).dump_json
    assert json(compare(family, pairs)) == json(compare(family, of_gains(0.0, 0.2, 0.4)))
    last = {"2: 0.4": pairs["2: 0.4"]}
    assert compare(family, last)["2: 0.4"].p == compare(family, pairs)["2: 0.4"].p
    other = compare(dataclasses.replace(family, seed=1), pairs)
    assert (other != compare(family, pairs)) == (family.unit == "document")


def test_scores_must_be_those_of_the_counts():
    counts = drawn(seeded(), 2, 10)[0]
    right = System((1, 2), scores=micro.scores(counts), counts=counts)
    assert right.scored("f1").tolist() == micro.scores(counts).tolist()
    with pytest.raises(ValueError, match="give the counts and the scores of one metric"):
        compare(Family("paired t"), {1: Pair(right, right, statistic="recall")})
    with pytest.raises(ValueError, match="give the counts and the scores of one metric"):
        compare(Family(), {1: Pair(System((1, 2), scores=np.array([1.0, 2.0]), counts=counts), right)})


def test_a_test_over_documents_needs_counts():
    with pytest.raises(ValueError, match="some: paired bootstrap needs counts per document"):
        compare(Family(), {"some": Pair(SOME, BASELINE)})


def test_systems_must_be_on_the_same_documents():
    counts = drawn(seeded(), 1, 3)[0]
    system = System((1,), counts=counts, documents=("a", "b", "c"))
    with pytest.raises(ValueError, match="different documents, as c, d; wanted"):
        Pair(system, System((1,), counts=counts, documents=("a", "b", "d")))
    with pytest.raises(ValueError, match="different orders"):
        Pair(system, System((1,), counts=counts, documents=("a", "c", "b")))
    assert Pair(system, System((1,), counts=counts)).n_documents == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"seeds": (1, 1), "scores": np.array([1.0, 2.0])}, "each once"),
        ({"seeds": (1,)}, "neither scores nor counts"),
        ({"seeds": (1, 2), "scores": np.array([1.0])}, "scores have shape"),
        ({"seeds": (1, 2), "scores": np.array(1.0)}, "scores have shape"),
        ({"seeds": (1, 2), "counts": np.zeros((3, 4, 3), int)}, "counts have shape"),
        ({"seeds": (1,), "counts": np.zeros((1, 4, 3), int), "documents": ("a", "b")}, "each of 2 documents"),
    ],
)
def test_a_system_that_does_not_fit_together_is_refused(given, told):
    with pytest.raises(ValueError, match=told):
        System(**given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"test": "wilcoxon"}, "test is 'wilcoxon', wanted one of paired bootstrap"),
        ({"correction": "bonferroni"}, "correction is 'bonferroni'"),
        ({"runs": "free"}, "runs is 'free'"),
        ({"alpha": 5}, "alpha is 5"),
        ({"resamples": 0}, "resamples is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_family_is_refused_when_it_is_declared(given, told):
    with pytest.raises(ValueError, match=told):
        Family(**given)


@pytest.mark.parametrize(
    ("given", "told"), [({"statistic": "f2"}, "statistic is 'f2'"), ({"better": "up"}, "better is")]
)
def test_a_pair_is_refused_when_it_is_made(given, told):
    with pytest.raises(ValueError, match=told):
        Pair(SOME, BASELINE, **given)


def test_an_empty_family_has_no_comparisons():
    assert compare(Family(), {}) == {}


def test_almost_stochastic_order_is_told_when_asked_for_and_changes_no_verdict():
    pair = {"some": Pair(SOME, BASELINE)}
    family = Family("paired t", dominance=True, resamples=20)
    plain, more = compare(Family("paired t"), pair)["some"], compare(family, pair)["some"]
    assert plain.dominance is None
    assert more.dominance is not None and 0.0 <= more.dominance < 0.5
    assert dataclasses.replace(more, dominance=None) == plain
    lower = compare(family, {"some": Pair(SOME, BASELINE, better="lower")})["some"]
    assert lower.dominance is not None and lower.dominance > 0.5


# ------------------------------------------------------------------------------------------------ how often it is wrong


def false_families(family: Family, n: int, **more: float) -> int:
    """Of n families of four variants that are all the baseline once more, those that find a difference."""
    return sum(any(of.verdict in ("better", "worse") for of in found) for found in families(family, n, **more))


def families(
    family: Family, n: int, gains: tuple[float, ...] = (0.0,) * 4, n_seeds: int = 3, n_documents: int = 50,
    by_run: float = 0.0, by_document: float = 0.3,
) -> Iterator[list[Comparison]]:  # fmt: skip
    for seed in range(n):
        baseline, *variants = drawn(seeded(7, seed), n_seeds, n_documents, (0.0, *gains), by_run, by_document)
        pairs = {at: Pair(counted(of), counted(baseline)) for at, of in enumerate(variants)}
        yield list(compare(dataclasses.replace(family, seed=seed), pairs).values())


def at_most(alpha: float, n: int) -> int:
    """So many of n at the most, but once in 100, where each happens with probability alpha."""
    return int(scipy.stats.binom.ppf(0.99, n, alpha))


@pytest.mark.parametrize(
    ("test", "more"),
    [
        ("paired bootstrap", {"n_seeds": 1}),
        ("paired bootstrap", {"by_run": 0.3}),
        ("paired bootstrap", {"by_run": 0.3, "by_document": 0.0, "n_seeds": 5}),
        ("approximate randomisation", {"n_seeds": 1}),
        ("approximate randomisation", {"by_run": 0.3}),
        ("paired t", {"by_run": 0.3, "by_document": 0.0, "n_documents": 20}),
        ("sign-flip", {"by_run": 0.3, "by_document": 0.0, "n_documents": 20, "n_seeds": 9}),
    ],
)
def test_of_families_without_any_difference_no_more_than_alpha_find_one(test, more):
    n = 300
    assert false_families(Family(test, alpha=0.1, resamples=399), n, **more) <= at_most(0.1, n)


def test_without_correction_more_families_than_alpha_find_a_difference_that_is_not_there():
    n = 250
    n_false = false_families(Family("paired t", alpha=0.1, correction="none"), n, by_run=0.3, by_document=0.0)
    assert n_false > at_most(0.1, n)


@pytest.mark.parametrize("runs", ["fixed", "resampled"])
def test_a_few_seeds_that_are_fixed_or_resampled_take_luck_for_a_gain(runs):
    # why neither is the default: these families are those of the test above, which holds its level
    n = 100
    family = Family("paired bootstrap", alpha=0.1, resamples=399, runs=runs)
    assert false_families(family, n, by_run=0.3, by_document=0.0) > at_most(0.1, n)


@pytest.mark.parametrize("test", TESTS)
def test_the_larger_a_difference_the_oftener_it_is_found_and_never_with_the_wrong_sign(test):
    gains, n = (0.0, 0.15, 0.3, 0.9), 60
    family = Family(test, resamples=399)
    n_seeds = 8 if test == "sign-flip" else 5
    verdicts = [
        [of.verdict for of in found]
        for found in families(family, n, gains, n_seeds=n_seeds, by_run=0.1, by_document=0.1)
    ]
    better = [sum(of[at] == "better" for of in verdicts) for at in range(len(gains))]
    worse = [sum(of[at] == "worse" for of in verdicts) for at in range(1, len(gains))]
    assert better[0] <= at_most(0.05, n)
    assert better[0] < better[1] < better[2] < better[3]
    assert better[3] >= 0.95 * n
    assert worse[1:] == [0, 0]


def test_more_documents_and_more_seeds_find_the_same_difference_oftener():
    def n_found(n_seeds: int, n_documents: int) -> int:
        found = families(Family(resamples=399), 60, (0.2,), n_seeds, n_documents, by_run=0.1, by_document=0.3)
        return sum(of[0].verdict == "better" for of in found)

    assert n_found(3, 50) < n_found(8, 50) < n_found(8, 400)


@pytest.mark.parametrize("unit", ["document", "seed"])
def test_nineteen_of_twenty_intervals_hold_the_difference_that_is_there(unit):
    # the same method twice, so 0
    n, held = 300, 0
    family = Family("paired bootstrap" if unit == "document" else "paired t", resamples=399)
    more = {"by_document": 0.3} if unit == "document" else {"by_document": 0.0}
    for (found,) in families(family, n, (0.0,), by_run=0.3, **more):
        assert found.low is not None and found.high is not None
        held += found.low <= 0.0 <= found.high
    assert n - held <= at_most(0.05, n)
