"""Settings in parts: what variants have in common is kept once, and nothing else about them changes."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.identity import canonical
from orchestrator.overrides import flat
from orchestrator.parts import ABSENT, Parts
from tests.orchestrator.samples import HEAD, SWEEP, expanded

GRID = HEAD + "grid:\n  training.learning_rate: [1.0e-4, 2.0e-4]\n  model.dropout: [0.0, 0.1]\n"


def test_settings_are_the_same_in_parts():
    settings = {"b": {"x": [1, 2], "y": {}}, "a": {"z": None, "é": "é"}, "c": 1.0}
    made = Parts().of(settings)
    assert made.settings == settings and list(made.settings) == list(settings)
    assert made.written == canonical(settings)
    assert {path: made.value(path) for path in flat(settings)} == flat(settings)


def test_equal_parts_are_kept_once_and_those_that_print_alike_are_not():
    parts = Parts()
    one, same, other = (parts.of({"a": {"x": value}, "b": {"y": 1}}) for value in (1, 1, 1.0))
    assert one.parts["a"] is same.parts["a"] and one.parts["b"] is other.parts["b"]
    assert one.parts["a"] is not other.parts["a"]
    assert (one.written, other.written) == ('{"a":{"x":1},"b":{"y":1}}', '{"a":{"x":1.0},"b":{"y":1}}')
    assert parts.of({"a": {"x": True}}).written == '{"a":{"x":true}}'


def test_a_value_that_is_not_there_is_absent_and_below_what_is_none_all_is_none():
    made = Parts().of({"a": {"x": None, "y": {"z": 1}}})
    assert made.value("a.x.y.z") is None
    assert made.value("a.y") == {"z": 1}
    assert made.value("a.w") is made.value("b") is made.value("a.y.z.u") is ABSENT


def test_variants_of_a_grid_share_the_parts_that_they_have_in_common(tmp_path):
    variants = expanded(tmp_path, GRID).variants
    assert len({id(variant.settings["data"]) for variant in variants}) == 1
    assert len({id(variant.settings["model"]) for variant in variants}) == 2
    assert len({id(variant.settings["model"]["encoder"]) for variant in variants}) == 1
    assert all(variant.written == canonical(variant.settings) for variant in variants)


def test_a_variant_made_of_another_writes_its_own_settings(tmp_path):
    variant = expanded(tmp_path, SWEEP).variants[0]
    assert replace(variant, settings={"a": 1}).written == '{"a":1}'
