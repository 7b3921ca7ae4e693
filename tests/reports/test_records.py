"""The tidy record: what it refuses, and that it comes back from JSON as it was."""

from __future__ import annotations

import dataclasses
import json

import pytest
from pydantic import ValidationError

from reports.records import StudyResults, TrialResult, Variant, check_metrics, check_report
from reports.settings import ByDatasetSettings, ComparisonSettings, MetricInfo, Published, SweepSettings
from tests.reports import samples


@pytest.mark.parametrize(
    "results",
    [samples.comparison(), samples.sweep(), samples.by_dataset(), samples.hostile(), samples.foreign()],
    ids=lambda r: r.report.kind,
)
def test_a_record_comes_back_from_json_as_it_was(results: StudyResults):
    again = StudyResults.from_json(results.to_json())
    assert again == results
    assert again.to_json() == results.to_json()


def test_a_trial_and_a_variant_go_to_json_alone():
    trial = samples.trials("a", [41.0])[0]
    assert TrialResult.from_json(trial.to_json()) == trial
    variant = Variant("a", "A", {"x": None, "y": 0.1, "z": ["tokens"], "u": {"kind": "dot"}})
    assert Variant.from_json(variant.to_json()) == variant


def test_a_record_with_a_name_that_nobody_knows_is_refused():
    record = json.loads(samples.comparison().to_json())
    for broken in ({**record, "extra": 1}, {**record, "trials": [{**record["trials"][0], "status": "pruned"}]}):
        with pytest.raises(ValidationError):
            StudyResults.from_json(json.dumps(broken))


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="no numbers"):
        TrialResult("k", "a", 1, "finished", {samples.MAIN: float("nan")})


def test_a_reduced_budget_has_to_say_what_it_cuts_and_the_full_one_cuts_nothing():
    with pytest.raises(ValueError, match="says what it cuts"):
        samples.study({"a": [41.0]}, budget="cpu")
    with pytest.raises(ValueError, match="says what it cuts"):
        samples.study({"a": [41.0]}, budget_note="3 epochs")


def changed(**fields) -> StudyResults:
    return dataclasses.replace(samples.comparison(), **fields)


def test_a_trial_counts_once_and_belongs_to_the_study():
    trial = samples.comparison().trials[0]
    with pytest.raises(ValueError, match="are both of 'memory' with seed 1"):
        changed(trials=(trial, dataclasses.replace(trial, key="other")))
    for stranger in (dataclasses.replace(trial, seed=9), dataclasses.replace(trial, variant="other")):
        with pytest.raises(ValueError, match="not in this study"):
            changed(trials=(stranger,))


def test_a_finished_trial_has_every_score_that_the_report_needs_and_a_failed_one_need_not():
    metrics = {name: 1.0 for name in ComparisonSettings().metrics}
    with pytest.raises(ValueError, match="finished but has no dev/relation_strict_f1"):
        changed(trials=(TrialResult("k", "jerex", 1, "finished", metrics),))
    changed(trials=(TrialResult("k", "jerex", 1, "failed", {}),))


def test_an_unknown_baseline_or_selection_metric_is_refused():
    with pytest.raises(ValueError, match="baseline 'nobody'"):
        changed(baseline="nobody")
    with pytest.raises(ValueError, match="finished but has no dev/f1"):
        changed(select_metric="dev/f1")


def test_what_is_said_of_a_metric_that_nobody_asks_for_is_refused():
    said = {"test/acuracy": MetricInfo(label="Accuracy")}
    report = ComparisonSettings(metrics=("test/accuracy",), metric_info=said)
    with pytest.raises(ValueError, match="'test/acuracy', did you mean 'test/accuracy'"):
        check_metrics(report, None)
    check_metrics(report.model_copy(update={"metric_info": {"dev/loss": MetricInfo(better="lower")}}), "dev/loss")


def test_nothing_is_selected_by_a_metric_of_which_neither_value_is_better():
    report = ComparisonSettings(metrics=("test/size",), metric_info={"test/size": MetricInfo(better="neither")})
    check_metrics(report, None)
    with pytest.raises(ValueError, match="nothing can be selected"):
        check_metrics(report, "test/size")


def test_a_record_of_a_version_that_did_not_tell_of_reads_is_read():
    record = json.loads(samples.comparison().to_json())
    for trial in record["trials"]:
        del trial["reading"]
    del record["report"]["metric_info"]
    assert StudyResults.from_json(json.dumps(record)) == samples.comparison()


def test_a_factor_inside_a_compound_is_found_and_below_nothing_is_nothing():
    variant = Variant(
        "a", "A", {"data": {"name": "cdr"}, "model.memory.read": None, "model.memory": {"read": {"kind": "x"}}}
    )
    assert variant.value("data.name") == "cdr"
    assert variant.value("model.memory.read.kind") is None
    for path in ("data.protocol", "training", "dat"):
        with pytest.raises(ValueError, match="no value for"):
            variant.value(path)


def test_two_variants_at_one_place_of_a_sweep_are_refused():
    variants = (Variant("a", "a", {"x": 1}), Variant("b", "b", {"x": 1.0}))
    with pytest.raises(ValueError, match="'a' and 'b' are both at x 1"):
        check_report(SweepSettings(x="x"), variants, None, ())


def test_two_variants_in_one_cell_of_a_data_set_are_refused():
    variants = (Variant("a", "same", {"data.name": "cdr"}), Variant("b", "same", {"data.name": "cdr"}))
    with pytest.raises(ValueError, match="row same, column cdr"):
        check_report(ByDatasetSettings(), variants, None, ())


@pytest.mark.parametrize(
    ("number", "complaint"),
    [
        (Published(variant="jerx", value=1.0, source="s"), "'jerx' is no variant"),
        (Published(variant="jerex", metric="dev/entity_f1", value=1.0, source="s"), "not in the report"),
        (Published(system="s", dataset="cdr", value=1.0, source="s"), "dataset: cdr"),
        (Published(variant="jerex", value=1.0, source="s"), "two numbers"),
    ],
)
def test_a_published_number_without_a_place_is_refused(number: Published, complaint: str):
    published = (*samples.comparison().published, number)
    with pytest.raises(ValueError, match=complaint):
        changed(published=published)


def test_a_system_in_a_sweep_or_without_its_data_set_is_refused():
    variants = (Variant("a", "a", {"x": 1, "data.name": "cdr"}),)
    for report in (SweepSettings(x="x"), ByDatasetSettings(), ByDatasetSettings(groups="x")):
        with pytest.raises(ValueError, match="published: 's'"):
            check_report(report, variants, None, (Published(system="s", value=1.0, source="s"),))


def test_a_system_may_share_the_row_of_a_variant_but_not_its_cell():
    variants = (Variant("a", "JEREX", {"data.name": "cdr"}),)
    elsewhere, same = (Published(system="JEREX", dataset=name, value=1.0, source="s") for name in ("docred", "cdr"))
    check_report(ByDatasetSettings(), variants, None, (elsewhere,))
    with pytest.raises(ValueError, match="name its `variant`"):
        check_report(ByDatasetSettings(), variants, None, (same,))
