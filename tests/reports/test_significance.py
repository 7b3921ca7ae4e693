"""What a study's report compares, how, and what it says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reports import differences, significance, verdict
from reports.comparison import decimals_of, scores_frame, table
from reports.counts import StudyCounts
from reports.records import StudyResults
from reports.settings import ByDatasetSettings, ComparisonSettings, StatisticsSettings
from reports.statistics.family import Family, Pair, System, compare
from reports.table import Difference, Score
from tests.reports import samples

MAIN = samples.MAIN


def asked(**more) -> StudyResults:
    return samples.counted(report=ComparisonSettings(statistics=StatisticsSettings(**more)))


def test_each_variant_is_compared_with_the_baseline_by_the_counts_of_its_documents():
    results = samples.counted()
    assert list(results.comparisons) == [("gains 0.02", MAIN), ("gains 0.2", MAIN)]
    assert results.counts is not None

    def system(variant: str) -> System:
        trials = results.finished(variant)
        stacked = np.stack([results.counts.of_metric(trial.key, MAIN) for trial in trials])
        return System(tuple(trial.seed for trial in trials), None, stacked)

    pairs = {name: Pair(system(name), system("jerex")) for name in ("gains 0.02", "gains 0.2")}
    for name, expected in compare(Family(), pairs).items():
        found = results.comparisons[name, MAIN]
        assert (found.p, found.low, found.high, found.verdict) == (
            expected.p,
            expected.low,
            expected.high,
            expected.verdict,
        )


def test_without_counts_seeds_are_the_unit_unless_documents_were_asked_for():
    results = replace(samples.counted(), counts=None)
    assert {one.unit for one in results.comparisons.values()} == {"seed"}
    strict = replace(asked(test="paired_bootstrap"), counts=None)
    assert strict.comparisons == {}
    (said,) = significance.notes(strict)
    assert said.startswith("Not tested: a paired bootstrap needs counts of documents, which 12 of the finished trials")
    assert said in table(strict).notes and differences.table(strict) is None


def test_one_trial_without_counts_makes_seeds_the_unit_of_the_whole_family():
    results = samples.counted()
    assert results.counts is not None
    trials = dict(results.counts.trials)
    del trials["gains-0.2-3", "test"]
    fewer = replace(results, counts=StudyCounts(trials))
    assert {one.test for one in fewer.comparisons.values()} == {"paired t"}


@pytest.mark.parametrize(
    ("test", "name", "unit"),
    [
        ("approximate_randomisation", "approximate randomisation", "document"),
        ("paired_t", "paired t", "seed"),
        ("sign_flip", "sign-flip", "seed"),
    ],
)
def test_the_declared_test_is_the_one_that_is_made_and_told(test: str, name: str, unit: str):
    results = asked(test=test)
    assert {(one.test, one.unit) for one in results.comparisons.values()} == {(name, unit)}
    assert name in " ".join(table(results).explanations)


def test_where_seeds_are_too_few_that_is_said_and_not_that_nothing_was_found():
    results = asked(test="sign_flip")
    assert {one.verdict for one in results.comparisons.values()} == {"cannot reach alpha"}
    made = table(results)
    assert "cannot be told from chance" in " ".join(made.explanations)
    assert any("with 4 seeds p adjusted is never below 0.25; 7 would be enough" in note for note in made.notes)
    assert "not significant" not in " ".join((*made.explanations, *made.notes))


def test_the_family_is_the_main_metric_or_all_that_are_shown():
    alone, all_shown = asked(), asked(metrics="shown")
    assert {one.n_comparisons for one in alone.comparisons.values()} == {2}
    assert {one.n_comparisons for one in all_shown.comparisons.values()} == {2 * len(all_shown.report.shown_metrics)}
    (row,) = [row for row in table(all_shown).sections[0].rows if row.label == "gains 0.2"]
    starred = [cell.starred for cell in row.cells if isinstance(cell, Score)]
    # the star of the main metric stands at its difference
    assert starred == [False, True, True, True, True]
    assert [cell.starred for cell in row.cells if isinstance(cell, Difference)] == [True]


def test_in_a_report_by_data_set_rows_are_compared_with_the_row_that_is_named():
    results = samples.by_dataset()
    assert results.comparisons == {}
    report = results.report
    assert isinstance(report, ByDatasetSettings)
    named = replace(results, report=report.model_copy(update={"baseline": "JEREX"}))
    assert len(named.comparisons) == 8 and {one.n_comparisons for one in named.comparisons.values()} == {8}
    for (variant, _), one in named.comparisons.items():
        baseline = significance.baseline_of(named, variant)
        assert baseline is not None and baseline.startswith("JEREX") and baseline.split()[1:] == variant.split()[-2:]
        assert one.difference is not None
    assert "to JEREX" in " ".join(table(named).explanations)
    with pytest.raises(ValueError, match="baseline 'GREX' is no row"):
        replace(results, report=report.model_copy(update={"baseline": "GREX"}))


def test_the_frame_of_differences_has_all_that_a_comparison_tells():
    results = samples.counted()
    frame = differences.frame(results).set_index("variant")
    for (variant, metric), one in results.comparisons.items():
        row = frame.loc[variant]
        assert (row["metric"], row["baseline"], row["verdict"]) == (metric, "jerex", one.verdict)
        assert (row["p_adjusted"], row["low"], row["n_documents"]) == (one.p_adjusted, one.low, 40)
        assert one.effects is not None and row["hedges_g"] == one.effects.hedges_g


def test_scores_have_their_interval_over_seeds():
    frame = scores_frame(samples.counted())
    one = frame[(frame.variant == "jerex") & (frame.metric == MAIN)].iloc[0]
    # t of 3 degrees of freedom
    assert one["high"] - one["mean"] == pytest.approx(3.1824463 * one["sd"] / 2) == one["mean"] - one["low"]


def test_a_metric_of_which_less_is_better_is_better_where_it_is_lower():
    report = ComparisonSettings(
        metrics=("test/loss",), metric_info={"test/loss": {"better": "lower"}}, statistics={"test": "paired_t"}
    )  # pyright: ignore[reportArgumentType]
    results = samples.study({"a": [1.0] * 5, "b": [1.0] * 5}, seeds=(1, 2, 3, 4, 5))
    trials = [
        replace(
            trial, metrics={samples.ON_DEV: 1.0, "test/loss": (5.0 if trial.variant == "a" else 3.0) + trial.seed / 10}
        )
        for trial in results.trials
    ]
    trials[0] = replace(trials[0], metrics={**trials[0].metrics, "test/loss": 5.2})
    less = replace(results, report=report, trials=tuple(trials))
    assert less.comparisons["b", "test/loss"].verdict == "better"


def without_seeds(results: StudyResults, variant: str, *seeds: int) -> StudyResults:
    """As if these trials had failed."""
    trials = tuple(
        replace(one, status="failed", metrics={}, selected_epoch=None)
        if one.variant == variant and one.seed in seeds
        else one
        for one in results.trials
    )
    return replace(results, trials=trials)


def test_a_single_seed_of_several_earns_no_star_as_it_says_nothing_of_other_training_runs():
    results = without_seeds(asked(), "gains 0.2", 2, 3, 4)
    lucky, other = results.comparisons["gains 0.2", MAIN], results.comparisons["gains 0.02", MAIN]
    assert lucky.verdict == "cannot reach alpha" and lucky.p is None and lucky.n_comparisons == 2
    assert lucky.why == "a single pair of seeds says nothing of other training runs"
    assert other.p is not None
    # asked for the trained models alone, the test is made
    fixed = without_seeds(asked(runs="fixed"), "gains 0.2", 2, 3, 4).comparisons["gains 0.2", MAIN]
    assert fixed.verdict == "better" and fixed.scope == "documents"


def test_a_study_of_one_seed_is_about_its_trained_models_and_says_so():
    results = asked()
    one = replace(results, seeds=(1,), trials=tuple(trial for trial in results.trials if trial.seed == 1))
    assert {found.scope for found in one.comparisons.values()} == {"documents"}
    assert "over 40 documents and 1 seed, 10,000 resamples, of these trained models alone" in significance.how(one)


def test_the_difference_in_the_table_is_the_one_that_is_tested():
    results = without_seeds(asked(), "gains 0.2", 1)
    told = {row.label: row.cells for row in table(results).sections[0].rows}["gains 0.2"]
    (shown,) = (cell for cell in told if isinstance(cell, Difference))
    assert shown.value == pytest.approx(results.comparisons["gains 0.2", MAIN].difference)
    means = [np.mean([trial.metrics[MAIN] for trial in results.finished(name)]) for name in ("gains 0.2", "jerex")]
    assert shown.value != pytest.approx(means[0] - means[1])
    assert "over the seeds that both have" in " ".join(table(results).explanations)


@pytest.mark.parametrize("whole_variant", [False, True])
def test_trials_on_other_documents_are_tested_over_seeds_or_not_at_all(whole_variant: bool):
    def mixed(results: StudyResults) -> StudyResults:
        assert results.counts is not None
        trials = dict(results.counts.trials)
        for (key, split), one in trials.items():
            if key.startswith("gains-0.2-") and (whole_variant or key.endswith(("-1", "-2"))):
                ids = tuple(f"new {name}" for name in one.documents.ids)
                trials[key, split] = replace(one, documents=replace(one.documents, ids=ids))
        return replace(results, counts=StudyCounts(trials), mixed="8 of 12 trials read other data")

    assert {one.test for one in mixed(asked()).comparisons.values()} == {"paired t"}
    assert {one.test for one in mixed(asked(test="paired_t")).comparisons.values()} == {"paired t"}
    strict = mixed(asked(test="paired_bootstrap"))
    assert strict.comparisons == {}
    (said,) = significance.notes(strict)
    assert said == (
        "Not tested: a paired bootstrap needs counts of the same documents, and trials are on others: gains 0.2."
    )


def test_an_exact_test_tells_of_no_resamples():
    results = asked(test="sign_flip")
    assert "resamples" not in significance.how(results)
    found = results.comparisons["gains 0.2", MAIN]
    assert found.why is not None and "with 4 seeds p adjusted is never below 0.25" in found.why


def test_differences_of_small_scores_have_their_digits_everywhere():
    results = samples.foreign(
        ComparisonSettings(metrics=("test/seconds", "test/accuracy", "dev/f1_macro"), metric_info=samples.FOREIGN)
    )
    trials = tuple(
        replace(one, metrics={name: value * 1e-6 for name, value in one.metrics.items()}) for one in results.trials
    )
    results = replace(results, trials=trials)
    metric = results.report.shown_metrics[0]
    decimals = decimals_of(results, metric)
    made = differences.table(results)
    assert made is not None and decimals > 2
    assert {row.cells[0].decimals for section in made.sections for row in section.rows} == {decimals}
    for one in results.comparisons.values():
        if one.difference is not None:
            assert any(f" {abs(one.difference):.{decimals}f} " in said for said in verdict.sentences(results))
