"""The JSON Schema that editors use takes what the validator takes."""

from __future__ import annotations

import pytest

from orchestrator.positions import read_yaml
from orchestrator.schema import json_schema
from tests.orchestrator.samples import HEAD, SWEEP, faults, write
from tests.orchestrator.test_variants import TABLE

jsonschema = pytest.importorskip("jsonschema")


def fits(folder, text):
    given, _ = read_yaml(write(folder, text))
    return jsonschema.Draft202012Validator(json_schema()).is_valid(given)


@pytest.mark.parametrize(
    "text",
    [
        SWEEP,
        TABLE,
        HEAD + "baseline: {name: ours}\nvariants:\n  x: {settings: {model: {memory: {read: {gradient: false}}}}}\n",
        HEAD + "baseline: sample\nbudgets: {cpu: {note: less, seeds: [3, 4], resources: {cpus: 2}}}\n",
    ],
    ids=["sweep", "table", "variants", "budgets"],
)
def test_a_good_study_fits_the_schema(tmp_path, text):
    assert faults(tmp_path, text) == []
    assert fits(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "sede: 1\n",
        HEAD.replace("seeds: 2", "seeds: 0"),
        HEAD.replace("question", "queston"),
        HEAD + "variants: {x: {settings: {model: {droput: 0.1}}}}\n",
        HEAD + "variants: {x: {settings: {model: {dropout: often}}}}\n",
        HEAD + "resources: {cpus: 0}\n",
    ],
)
def test_a_bad_study_fits_neither_the_schema_nor_the_validator(tmp_path, text):
    assert faults(tmp_path, text)
    assert not fits(tmp_path, text)
