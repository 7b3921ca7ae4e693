"""The sections `report:` and `published:` of a study."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from reports.settings import (
    METRICS,
    SUB_TASKS,
    ByDatasetSettings,
    ComparisonSettings,
    MetricInfo,
    Published,
    ReportSettings,
    SweepSettings,
    unknown_metric,
    word,
)

READ = TypeAdapter(ReportSettings)


def test_the_kind_chooses_the_report_and_its_defaults_are_the_sub_tasks_on_test():
    assert READ.validate_python({"kind": "comparison"}).shown_metrics == SUB_TASKS
    assert SUB_TASKS[0] == "test/relation_strict_f1"
    assert READ.validate_python({"kind": "sweep", "x": "model.memory.warmup_proportion"}).paths == (
        "model.memory.warmup_proportion",
    )
    by_dataset = READ.validate_python({"kind": "by_dataset", "groups": "model.relation.pairs.kind"})
    assert by_dataset.paths == ("data.name", "model.relation.pairs.kind")
    assert by_dataset.shown_metrics == ("test/relation_strict_f1",)


def test_there_are_thirty_metrics_and_each_task_has_its_three_measures_on_both_splits():
    assert len(METRICS) == len(set(METRICS)) == 2 * 5 * 3
    assert "dev/relation_strict_precision" in METRICS


def test_a_misspelt_metric_is_told_with_the_nearest_one():
    assert unknown_metric("test/relation_f1", METRICS) is None
    said = unknown_metric("test/relations_f1", METRICS)
    assert said == "unknown metric 'test/relations_f1', did you mean 'test/relation_f1'?"
    assert unknown_metric("x/y", ("test/accuracy", "a/b")) == "unknown metric 'x/y', wanted one of test/accuracy, a/b"


def test_a_report_takes_the_metrics_of_any_trainable_and_proposes_ours():
    metrics = ("test/accuracy", "dev/f1-macro.v2", "time/seconds")
    assert READ.validate_python({"kind": "comparison", "metrics": list(metrics)}).shown_metrics == metrics
    schema = ByDatasetSettings.model_json_schema()["properties"]["metric"]
    assert schema["anyOf"][0] == {"enum": list(METRICS)}


def test_our_metrics_are_percent_and_of_others_that_is_said():
    said = {"test/error": {"label": "Error", "percent": True, "better": "lower"}}
    report = READ.validate_python({"kind": "comparison", "metrics": ["test/error"], "metric_info": said})
    assert report.info("test/error") == MetricInfo(label="Error", percent=True, better="lower")
    assert report.info("test/accuracy") == MetricInfo(percent=False, better="higher")
    assert report.info("test/relation_f1") == MetricInfo(percent=True, better="higher")
    with pytest.raises(ValidationError, match="metric of our model"):
        READ.validate_python({"kind": "comparison", "metric_info": {"test/relation_f1": {"percent": False}}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "comparison", "metric": "test/relation_f1"},
        {"kind": "comparison", "metrics": []},
        {"kind": "comparison", "metrics": ["test/relation_f1", "test/relation_f1"]},
        {"kind": "sweep"},
        {"kind": "sweep", "x": "not a path"},
        {"kind": "by_dataset", "metric": ["test/relation_f1"]},
        {"kind": "comparison", "label": "tab:a}b"},
        {"kind": "comparison", "metrics": ["accuracy"]},
        {"kind": "comparison", "metrics": ["test/acc uracy"]},
        {"kind": "comparison", "metrics": ["test/a"], "metric_info": {"test/a": {"better": "smaller"}}},
        {"kind": "table"},
        {},
    ],
)
def test_what_no_report_knows_is_refused(wrong):
    with pytest.raises(ValidationError):
        READ.validate_python(wrong)


def test_a_setting_is_fixed_once_made():
    with pytest.raises(ValidationError):
        SweepSettings(x="a.b").x = "c"  # pyright: ignore[reportAttributeAccessIssue]


def test_names_stand_for_values_as_yaml_writes_them():
    names = {None: "encoder width", 0.5: "half", 32: "thirty-two", True: "on", "cdr": "CDR"}
    report = READ.validate_python({"kind": "sweep", "x": "a.b", "names": names})
    assert [report.name(value) for value in (None, 0.5, 32, 32.0, True, "cdr", "other")] == [
        "encoder width",
        "half",
        "thirty-two",
        "thirty-two",
        "on",
        "CDR",
        "other",
    ]


def test_a_value_is_written_as_one_word_and_equal_numbers_are_one_word():
    values = [None, False, 1, 1.0, 0.4, 1e-5, "a", {"kind": "cosine"}, ["tokens"], {"kind": "cosine", "scale": 2}]
    assert [word(value) for value in values] == [
        "null",
        "false",
        "1",
        "1",
        "0.4",
        "1e-05",
        "a",
        "cosine",
        '["tokens"]',
        '{"kind": "cosine", "scale": 2}',
    ]


def test_settings_go_to_json_and_back():
    report = ByDatasetSettings(groups="a.b", names={"cdr": "CDR"})
    assert READ.validate_json(READ.dump_json(report)) == report


def test_a_published_number_is_of_a_variant_or_of_a_system_but_not_of_both_or_none():
    assert Published(variant="a", value=42, source="s").value == 42.0
    assert Published(system="a", dataset="cdr", value=42.0, source="s").dataset == "cdr"
    for wrong in ({}, {"variant": "a", "system": "b"}, {"variant": "a", "dataset": "cdr"}):
        with pytest.raises(ValidationError):
            Published(value=42.0, source="s", **wrong)


def test_a_published_number_of_ours_is_in_percent():
    with pytest.raises(ValidationError, match="wanted percent"):
        Published(variant="a", value=142.0, source="s")
    assert Published(variant="a", metric="test/seconds", value=142.0, source="s").value == 142.0
    with pytest.raises(ValidationError, match="finite"):
        Published(variant="a", metric="test/seconds", value=float("nan"), source="s")


def test_settings_and_records_are_read_without_pandas_matplotlib_numpy_or_the_other_rooms():
    heavy = "{'pandas', 'matplotlib', 'numpy', 'scipy', 'torch', 'ray', 'mlflow', 'model', 'orchestrator'}"
    code = f"import sys, reports.settings, reports.records; sys.exit(repr({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


@pytest.mark.parametrize(
    "wrong", [{"documents": -3}, {"figures": ["learning", "learning"]}, {"tables": ["types", "types"]}], ids=str
)
def test_what_is_shown_beside_the_table_is_refused_where_it_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ComparisonSettings.model_validate(wrong)
