"""The JSON Schema that editors use takes what the validator takes, as far as a schema can tell."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from model.settings import ExperimentSettings
from orchestrator.errors import StudyError
from orchestrator.json_schema import json_schema
from orchestrator.overrides import flat
from orchestrator.positions import read_yaml
from orchestrator.schema import load
from orchestrator.variants import check
from tests.orchestrator.corpus import BAD, GOOD, called
from tests.orchestrator.samples import HEAD, SWEEP, faults, write
from tests.orchestrator.test_variants import TABLE

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
REFRESH = "orchestrate schema > studies/schema.json"

NAMES = "a schema cannot look names up that the file makes elsewhere"
EQUAL = "a schema cannot compare two parts of a file"
LAYERS = "only the layers of settings together tell"
COUNT = "a schema cannot multiply numbers of values"
NUMBERS = "JSON has one kind of number"
WORDS = "a schema cannot take words apart as a shell does"

CANNOT_TELL = {
    "baseline_excluded": NAMES,
    "baseline_of_a_grid": NAMES,
    "baseline_of_several_lines": NAMES,
    "baseline_unknown": NAMES,
    "budget_makes_variants_equal": LAYERS,
    "budget_rule_between_settings": LAYERS,
    "budget_setting_twice": EQUAL,
    "command_placeholders": NAMES,
    "command_quotes": WORDS,
    "exclude_all": LAYERS,
    "exclude_nothing": LAYERS,
    "exclude_on_an_unknown_level": NAMES,
    "exclude_on_an_unknown_setting": NAMES,
    "factor_in_two_sections": EQUAL,
    "factor_inside_another": LAYERS,
    "grid_too_large": COUNT,
    "label_twice": EQUAL,
    "levels_of_equal_settings": LAYERS,
    "names_of_one_variant": EQUAL,
    "not_a_number_of_a_command": NUMBERS,
    "pretraining_without_data": LAYERS,
    "published_excluded": NAMES,
    "published_in_a_cell_of_ours": NAMES,
    "published_of_nobody": NAMES,
    "published_outside_the_report": NAMES,
    "published_twice": EQUAL,
    "report_metric_info_unused": NAMES,
    "report_selected_by_neither": NAMES,
    "report_two_in_one_cell": LAYERS,
    "report_x_fixed": LAYERS,
    "report_x_unknown": NAMES,
    "rule_between_factors": LAYERS,
    "rule_between_settings": LAYERS,
    "search_inside_another": EQUAL,
    "search_pruning_never": EQUAL,
    "search_twice": EQUAL,
    "search_undeclared": NAMES,
    "setting_twice": EQUAL,
    "setting_twice_in_a_value": EQUAL,
    "trials_too_many": COUNT,
    "undeclared_settings": NAMES,
    "value_of_several_lines": WORDS,
    "values_too_long_for_a_name": WORDS,
    "variants_of_equal_settings": LAYERS,
    "variants_of_one_name": EQUAL,
    "when_of_an_unknown_factor": NAMES,
    "when_on_an_unknown_level": NAMES,
    "when_on_an_unknown_setting": NAMES,
    "whole_number_as_a_decimal": NUMBERS,
    "zip_and_grid_too_large": COUNT,
    "zip_of_unequal_lengths": EQUAL,
}
"""Bad studies that the schema takes, and why it cannot do otherwise."""


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def plain(path: Path) -> object | None:
    """What a file holds; `None` if it is no YAML that a study could be."""
    try:
        return read_yaml(path)[0]
    except StudyError:
        return None


def fits(document: object) -> bool:
    return validator().is_valid(document)


READABLE = [path for path in BAD if plain(path) is not None]


def test_the_schema_is_one_and_says_so():
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_beside_the_studies_is_up_to_date():
    code, output, _ = called("schema")
    assert code == 0
    assert (STUDIES[0].parent / "schema.json").read_text(encoding="utf-8") == output, f"refresh it: {REFRESH}"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_first_line_of_a_study_points_to_the_schema(path):
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")


@pytest.mark.parametrize("path", [*GOOD, *STUDIES], ids=lambda path: path.stem)
def test_a_good_study_fits_the_schema(path):
    assert [error.message for error in validator().iter_errors(plain(path))] == []


@pytest.mark.parametrize("text", [SWEEP, TABLE], ids=["sweep", "table"])
def test_a_sample_fits_the_schema(tmp_path, text):
    assert faults(tmp_path, text) == []
    assert fits(plain(write(tmp_path, text)))


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_a_bad_study_does_not_fit_the_schema_where_it_can_tell(path):
    # an entry of the list that the schema has learned to tell is to be deleted
    assert fits(plain(path)) == (path.stem in CANNOT_TELL)


def test_the_list_names_bad_studies_that_are_there():
    assert CANNOT_TELL.keys() <= {path.stem for path in READABLE}


@pytest.mark.parametrize(
    "settings",
    [
        "training.epochs: many",
        "model.memory: {read.gradient: 3}",
        "model: {memory.read.similarity.kind: cos}",
        "model.memory.read: {kind: slot_wise, normalisation: kept}",
        "training.select.metric: entity_f1",
    ],
)
def test_what_stands_below_a_dotted_key_is_checked(tmp_path, settings):
    for text in (
        f"variants: {{a: {{settings: {{{settings}}}}}}}\n",
        f"budgets: {{b: {{note: n, settings: {{{settings}}}}}}}\n",
    ):
        assert faults(tmp_path, HEAD + text)
        assert not fits(plain(write(tmp_path, HEAD + text)))


# ----------------------------------------------------------------------------------------------- drawn from small parts

SCALARS = st.sampled_from([0, 1, 3, -1, 0.5, 1.5, 1e-9, True, False, None, "", "x", "null", [], [1], {}, {"x": 1}])
PATHS = sorted(path for path in flat(ExperimentSettings().model_dump(mode="json")))
SETTING = st.tuples(st.sampled_from(PATHS), SCALARS)
SEEDS = st.sampled_from([1, 2, 0, -1, 2.5, "2", True, None, [], [1], [1, 2], [1, 1], [-1], [0.5], ["1"], [True], {}])
RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "cpus": st.sampled_from([1, 4, 0, 1.5, "1", None, True]),
        "gpus": st.sampled_from([0, 1, 2, 0.25, 1.5, -1, "measured", "many", None, True]),
        "gpu": st.just(1),
    },
)
SELECT = st.fixed_dictionaries(
    {},
    optional={
        "metric": st.sampled_from(["entity_f1", "relation_strict_f1", "entity_f2", "dev/entity_f1", "", None, 1]),
        "on": st.sampled_from(["dev", "test", "train", None]),
        "allow_test": st.sampled_from([True, False, None, "yes"]),
    },
)
BUDGETS = st.dictionaries(
    st.sampled_from(["full", "pilot", "cpu", "Cpu", "", "a b"]),
    st.fixed_dictionaries(
        {}, optional={"note": st.sampled_from(["less", "", None]), "seeds": SEEDS, "resources": RESOURCES}
    ),
    max_size=2,
)
REPORT = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["comparison", "comparison", "comparison", "table", None]),
        "metrics": st.sampled_from([["test/entity_f1"], ["dev/entity_f1", "test/entity_f1"], [], ["entity_f1"], None]),
        "caption": st.sampled_from(["Words.", "", None, 3]),
        "label": st.sampled_from(["tab:a", "tab a", None]),
        "names": st.sampled_from([{}, {"null": "none"}, {"a": ""}, [], None]),
    },
)
VARIANTS = st.sampled_from(
    [
        None,
        {},
        [],
        {"a": {}},
        {"a": None},
        {"": {}},
        {"a": {"label": "A"}},
        {"a": {"label": ""}},
        {"a": {"settings": 1}},
    ]
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "study": st.sampled_from(["a", "a", "a", "a-b_2", "A", "trials", "", None]),
        "question": st.sampled_from(["Why?", "Why?", "Why?", "", None]),
        "seeds": st.one_of(st.just(1), st.just(1), SEEDS),
    },
    optional={
        "title": st.sampled_from(["Words", "", None, 1]),
        "settings": st.one_of(st.none(), st.builds(lambda one: dict([one]), SETTING)),
        "variants": VARIANTS,
        "select": st.one_of(st.none(), SELECT),
        "resources": st.one_of(st.none(), RESOURCES),
        "budgets": st.one_of(st.none(), BUDGETS),
        "report": st.one_of(st.none(), REPORT),
        "sede": st.just(1),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS)
def test_schema_and_validator_agree_on_studies_drawn_from_small_parts(tmp_path, document):
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        check(load(path))
        told = []
    except StudyError as error:
        told = [problem.message for problem in error.problems]
    assert fits(document) == (not told), (told, [error.message for error in validator().iter_errors(document)])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(setting=SETTING, nested=st.integers(0, 4), section=st.sampled_from(["settings", "ablate", "grid", "variants"]))
def test_schema_and_validator_agree_on_settings_however_they_are_written(tmp_path, setting, nested, section):
    path, value = setting
    *outer, last = path.split(".", nested)
    layer = {last: value}
    for part in reversed(outer):
        layer = {part: layer}
    parts = {
        "settings": layer,
        "ablate": {path: [value]},
        "grid": {"factor": {"a": layer}},
        "variants": {"a": {"settings": layer}},
    }
    document = {"study": "a", "question": "Why?", "seeds": 1, section: parts[section]}
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(document), encoding="utf-8")
    try:
        check(load(file))
        told = []
    except StudyError as error:
        told = [problem.message for problem in error.problems]
    assert fits(document) == (not told), (document, told)
