"""From trials to frames and to what stands in a table."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from reports.comparison import scores_frame, table, trials_frame
from reports.records import StudyResults
from reports.settings import ComparisonSettings, MetricInfo, Published
from reports.table import Count, Difference, Quoted, Score, Single, Table, four_digits
from tests.reports import samples
from tests.reports.samples import MAIN


def cells(of: Table, label: str, section: int = 0) -> dict[str, object]:
    row = next(row for row in of.sections[section].rows if row.label == label)
    names = [f"{column.over}: {column.title}" if column.over else column.title for column in of.columns]
    return dict(zip(names, row.cells, strict=True))


def only(frame: pd.DataFrame, **where: str) -> dict[str, Any]:
    (row,) = (row for row in frame.to_dict("records") if all(row[name] == value for name, value in where.items()))
    return {str(name): value for name, value in row.items()}


# ---------------------------------------------------------------------------------------------------------- comparison


def test_a_comparison_begins_with_its_baseline_and_shows_the_difference_to_it():
    made = table(samples.comparison())
    assert [row.label for row in made.sections[0].rows] == [
        "JEREX (baseline)",
        "ours + memory",
        "ours, no read",
        "cut short",
    ]
    baseline, memory = cells(made, "JEREX (baseline)"), cells(made, "ours + memory")
    # 41 41 42 43 43: mean 42, squared deviations 1 1 0 1 1 sum to 4, over 4 is 1
    assert baseline["Strict relation"] == Score(42.0, 1.0, 5, 5)
    assert baseline["Δ"] == Difference(None)
    assert baseline["Publ."] == Quoted(42.88)
    assert memory["Δ"] == Difference(1.0)
    assert memory["n"] == Count(5, 5)
    # the last seed is best on dev and has 45 on test
    assert memory["Best on dev"] == Single(45.0, best=True)


def test_means_that_print_the_same_are_both_best():
    made = table(samples.comparison())
    tied = [cells(made, label)["Strict relation"] for label in ("ours + memory", "ours, no read")]
    assert all(isinstance(cell, Score) and cell.best for cell in tied)
    assert tied[0].mean != tied[1].mean  # pyright: ignore[reportAttributeAccessIssue]


def test_where_all_print_the_same_none_is_best():
    same = (40.0, 41.0, 42.0, 43.0, 44.0)
    made = table(samples.study({"a": same, "b": same}))
    scores = [cell for row in made.sections[0].rows for cell in row.cells if isinstance(cell, Score)]
    assert scores and not any(cell.best for cell in scores)


def test_a_variant_with_fewer_seeds_shows_its_n_is_not_ranked_and_the_notes_say_what_became_of_each():
    made = table(samples.comparison())
    short = cells(made, "cut short")
    score = short["Strict relation"]
    assert isinstance(score, Score) and (score.mean, score.n, score.n_declared) == (60.5, 2, 5)
    assert score.incomplete and not score.best
    assert short["Δ"] == Difference(18.5, incomplete=True)
    assert short["n"] == Count(2, 5)
    said = "cut short: 2 of 5 seeds, 1 failed (seed 2), 1 interrupted (seed 3), 1 not run (seed 4)"
    assert any(said in note for note in made.notes)


def test_failed_and_interrupted_trials_enter_no_mean_even_if_they_have_scores():
    results = samples.study({"a": [40.0, 42.0]}, seeds=(1, 2))
    stopped = dataclasses.replace(results.trials[1], status="interrupted")
    score = cells(table(dataclasses.replace(results, trials=(results.trials[0], stopped))), "a (baseline)")
    assert score["Strict relation"] == Score(40.0, None, 1, 2)


def test_a_variant_without_any_trial_is_in_the_table():
    made = table(samples.study({"a": [40.0, 41.0], "b": []}, seeds=(1, 2)))
    assert cells(made, "b")["Strict relation"] == Score(None, None, 0, 2)
    assert "b: 0 of 2 seeds, 2 not run (seeds 1, 2)" in made.notes[0]


def test_of_one_declared_seed_the_caption_says_so_and_the_best_seed_is_not_shown_beside_it():
    made = table(samples.study({"a": [40.0], "b": [41.0]}, seeds=(1,)))
    assert "one seed, so no spread is defined" in made.explanations[0]
    assert not any(column.title == "Best on dev" for column in made.columns)


def test_the_caption_says_how_many_seeds_what_is_shown_and_what_selected():
    first, *_ = table(samples.comparison()).explanations
    assert first == (
        "F1 on test in percent, mean ± sample standard deviation over n = 5 seeds; "
        "epoch selected by strict relation F1 on dev."
    )


def test_a_reduced_budget_is_a_warning_and_the_full_one_is_none():
    assert table(samples.comparison()).warnings == ()
    (warning,) = table(samples.by_dataset()).warnings
    assert warning.startswith("Reduced budget “cpu”: 3 epochs instead of 20")


def test_selection_on_test_is_a_warning():
    results = dataclasses.replace(samples.comparison(), select_metric=MAIN)
    made = table(results)
    assert any("selected on the test set" in warning for warning in made.warnings)
    assert any(column.title == "Best on test" for column in made.columns)


def test_a_column_says_its_measure_and_split_where_they_differ():
    report = ComparisonSettings(metrics=("test/relation_precision", "dev/relation_recall"))
    titles = [column.title for column in table(samples_with(report)).columns]
    assert "Relation precision (test)" in titles and "Relation recall (dev)" in titles


def samples_with(report: ComparisonSettings):
    results = samples.study({"a": [40.0, 41.0]}, seeds=(1, 2))
    more = {"test/relation_precision": 50.0, "dev/relation_recall": 60.0}
    trials = tuple(dataclasses.replace(trial, metrics={**trial.metrics, **more}) for trial in results.trials)
    return dataclasses.replace(results, trials=trials, report=report)


def test_a_system_that_is_not_run_has_a_row_with_its_published_number_only():
    results = samples.study(
        {"a": [40.0, 41.0]}, seeds=(1, 2), published=(Published(system="s", value=40.2, source="x"),)
    )
    row = cells(table(results), "s (published)")
    assert row["Publ."] == Quoted(40.2)
    assert row["Strict relation"] == Score(None, None, 0, 0)


# --------------------------------------------------------------------------------------------------------------- sweep


def test_a_sweep_follows_its_factor_numbers_first_and_words_as_the_study_has_them():
    made = table(samples.sweep((None, 128, 32, 64.5), samples.SLOT, names={None: "encoder width"}))
    assert [row.label for row in made.sections[0].rows] == ["32", "64.5", "128", "encoder width (baseline)"]
    words = table(samples.sweep(("bilinear", "dot", "cosine"), "model.entity.classifier.kind"))
    assert [row.label for row in words.sections[0].rows] == ["bilinear (baseline)", "dot", "cosine"]
    assert words.stub == "Kind"
    factor = "model.entity.classifier.kind"
    assert table(samples.sweep(("dot", "cosine"), factor, names={factor: "similarity"})).stub == "Similarity"


# ---------------------------------------------------------------------------------------------------------- by_dataset


def test_table_2_has_its_groups_rows_and_data_sets():
    made = table(samples.by_dataset())
    assert [(section.title, [row.label for row in section.rows]) for section in made.sections] == [
        ("GRC", ["JEREX", "ours", "ours + memory", "seq2rel"]),
        ("MRC", ["JEREX", "ours", "ours + memory"]),
    ]
    assert [column.over for column in made.columns] == ["CDR"] * 3 + ["Re-DocRED"] * 3
    memory = cells(made, "ours + memory", section=1)
    assert memory["Re-DocRED: Mean ± sd"] == Score(43.0, 1.0, 3, 3, best=True)
    assert memory["CDR: Publ."] == Quoted(43.75)
    seq2rel = cells(made, "seq2rel")
    assert (seq2rel["CDR: Publ."], seq2rel["Re-DocRED: Publ."]) == (Quoted(40.2), Quoted(None))


def test_groups_are_ranked_apart():
    results = samples.by_dataset()
    better = [
        dataclasses.replace(t, metrics={k: v + 9 for k, v in t.metrics.items()}) if "multi" in t.key else t
        for t in results.trials
    ]
    made = table(dataclasses.replace(results, trials=tuple(better)))
    for section in (0, 1):
        cell = cells(made, "ours + memory", section)["CDR: Mean ± sd"]
        assert isinstance(cell, Score) and cell.best


def test_a_cell_that_lacks_seeds_is_named_with_its_data_set():
    results = samples.by_dataset()
    made = table(dataclasses.replace(results, trials=results.trials[1:]))
    assert "JEREX, GRC, CDR: 2 of 3 seeds, 1 not run (seed 1)" in made.notes[0]


# ------------------------------------------------------------------------------------------- trainables of other kinds


def test_metrics_of_another_trainable_are_called_as_they_are_or_as_the_report_says():
    made = table(samples.foreign())
    titles = [column.title for column in made.columns]
    assert titles == ["n", "Accuracy (%)", "Δ", "Best on dev", "test · seconds", "dev · f1_macro"]
    assert made.explanations[0] == (
        "Scores, mean ± sample standard deviation over n = 2 seeds; epoch selected by dev · loss."
    )
    assert "percent" not in " ".join(made.explanations)
    info = {"test/accuracy": samples.FOREIGN["test/accuracy"]}
    report = ComparisonSettings(metrics=("test/accuracy",), metric_info=info)
    only_accuracy = table(samples.foreign(report, select_metric=None))
    assert only_accuracy.explanations[0].startswith("Accuracy in percent, mean ±")
    assert [column.title for column in only_accuracy.columns][1] == "Accuracy"


def best(of: Table) -> dict[str, list[str]]:
    """Title of a column → labels of the rows that are best in it."""
    (section,) = of.sections
    rows = [(row.label, cell.best) for row in section.rows for cell in row.cells if isinstance(cell, Score)]
    n_scores = len(rows) // len(section.rows)
    titles = [
        column.title for column, cell in zip(of.columns, section.rows[0].cells, strict=True) if isinstance(cell, Score)
    ]
    return {title: [label for label, is_best in rows[at::n_scores] if is_best] for at, title in enumerate(titles)}


def test_the_best_is_the_lowest_where_lower_is_better_and_none_where_neither_is():
    made = table(samples.foreign())
    assert best(made) == {
        "Accuracy (%)": ["width 128"],
        "test · seconds": ["width 64 (baseline)"],
        "dev · f1_macro": ["width 128"],
    }
    assert any(said == "Bold: best of its column; of test · seconds the lowest." for said in made.explanations)
    info = {**samples.FOREIGN, "test/seconds": MetricInfo(better="neither")}
    report = samples.foreign().report.model_copy(update={"metric_info": info})
    assert best(table(samples.foreign(report)))["test · seconds"] == []


def test_a_difference_keeps_its_sign_whatever_is_better():
    report = ComparisonSettings(metrics=("test/seconds",), metric_info={"test/seconds": MetricInfo(better="lower")})
    made = table(samples.foreign(report, select_metric=None))
    assert cells(made, "width 256")["Δ"] == Difference(1200.0)


def test_the_best_seed_is_the_one_with_the_least_loss_where_lower_is_better():
    # of the baseline: loss 0.25 and accuracy 81, loss 0.5 and accuracy 82
    assert cells(table(samples.foreign()), "width 64 (baseline)")["Best on dev"] == Single(81.0)


def test_values_have_four_digits_and_the_decimals_of_a_column_are_those_of_its_largest():
    of = {column.title: column.decimals for column in table(samples.foreign()).columns}
    assert (of["Accuracy (%)"], of["test · seconds"], of["dev · f1_macro"]) == (2, 0, 4)
    assert [four_digits([value]) for value in (0.0, 1e-9, 0.0123, 1.0, 9.9, 99.0, -1234.0, 1e9)] == [
        2, 6, 5, 3, 3, 2, 0, 0,
    ]  # fmt: skip


def test_a_study_that_selects_by_nothing_or_has_no_epochs_does_not_tell_of_a_selection():
    by_nothing = table(
        samples.foreign(samples.foreign_sweep().report.model_copy(update={"metric_info": {}}), select_metric=None)
    )
    assert by_nothing.explanations[0] == "Scores, mean ± sample standard deviation over n = 2 seeds."
    assert not any(column.title.startswith("Best") for column in by_nothing.columns)
    assert "selected by: nothing" in by_nothing.origin
    results = samples.foreign()
    without = tuple(dataclasses.replace(trial, selected_epoch=None) for trial in results.trials)
    made = table(dataclasses.replace(results, trials=without))
    assert made.explanations[0] == "Scores, mean ± sample standard deviation over n = 2 seeds."
    assert any(column.title == "Best on dev" for column in made.columns)


def test_a_sweep_over_another_trainables_setting_has_its_metrics():
    made = table(samples.foreign_sweep())
    assert [row.label for row in made.sections[0].rows] == ["64 (baseline)", "128", "256"]
    assert cells(made, "128")["test · seconds"] == Score(1800.0, 0.0, 2, 2)


def test_a_setting_that_is_called_like_a_column_does_not_take_its_place():
    frame = trials_frame(samples.foreign())
    assert list(frame["seed"]) == [1, 2] * 3
    assert list(frame["settings.seed"]) == ["64", "64", "128", "128", "256", "256"]


# --------------------------------------------------------------------------------------------------------------- reads


def reading(results: StudyResults, **of: bool | None) -> StudyResults:
    """The trials of variants that read, or do not, at their selected epoch: `{variant}_{seed}`."""
    trials = [dataclasses.replace(trial, reading=of.get(f"{trial.variant}_{trial.seed}")) for trial in results.trials]
    return dataclasses.replace(results, trials=tuple(trials))


def test_a_row_that_was_selected_before_its_reads_set_in_is_told_with_its_seeds():
    results = samples.study({"jerex": [40.0, 41.0], "late": [40.0, 41.0], "half": [40.0, 41.0]}, seeds=(1, 2))
    made = table(reading(results, late_1=False, late_2=False, half_1=False, half_2=True))
    said = "Selected before the memory reads set in, so scored without them: late (2 of 2 seeds); half (1 of 2 seeds)."
    assert made.notes == (said,)
    # those that never read, or do not tell, are no news; nor are those that do
    assert table(results).notes == table(reading(results, late_1=True, half_1=True)).notes == ()


def test_a_trial_that_did_not_finish_is_not_told_to_be_selected_before_its_reads():
    results = reading(samples.study({"a": [40.0, "failed"]}, seeds=(1, 2)), a_2=False)
    assert not any("reads" in note for note in table(results).notes)


def test_the_frame_of_trials_tells_of_reads_where_the_trials_do():
    results = samples.study({"a": [40.0, 41.0]}, seeds=(1, 2))
    assert "reading" not in trials_frame(results)
    assert list(trials_frame(reading(results, a_1=False, a_2=True))["reading"]) == [False, True]


# -------------------------------------------------------------------------------------------------------------- frames


def test_the_frame_of_scores_has_every_variant_and_metric_with_the_numbers_of_the_trials():
    results = samples.comparison()
    frame = scores_frame(results)
    assert len(frame) == 4 * 5
    memory = only(frame, variant="memory", metric="test/mention_f1")
    # one point above 41 ... 45
    assert (memory["mean"], memory["min"], memory["max"], memory["n"]) == (44.0, 42.0, 46.0, 5)
    assert (memory["selected_seed"], memory["selected"], memory["delta"]) == (5, 46.0, 1.0)
    short = only(frame, variant="cut short", metric=MAIN)
    assert (short["n"], short["n_declared"]) == (2, 5)


def test_the_difference_is_not_taken_between_data_sets():
    results = dataclasses.replace(samples.by_dataset(), baseline="JEREX global cdr")
    assert set(scores_frame(results)["delta"].isna()) == {True}


def test_the_frame_of_trials_has_a_row_for_every_declared_seed_whatever_became_of_it():
    frame = trials_frame(samples.comparison())
    assert len(frame) == 4 * 5
    assert list(frame[frame["variant"] == "cut short"]["status"]) == [
        "finished",
        "failed",
        "interrupted",
        "not run",
        "finished",
    ]


def test_the_origin_names_commit_data_command_and_every_trial():
    made = "\n".join(table(samples.comparison()).origin)
    for said in ("commit: 0123abc", "data.cdr: sha256:11aa", "command: orchestrate run", "2=cut-short-2 failed"):
        assert said in made
    bare = "\n".join(table(dataclasses.replace(samples.comparison(), provenance={})).origin)
    assert "commit: not recorded" in bare
