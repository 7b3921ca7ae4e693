"""Layers of settings: what replaces what."""

from __future__ import annotations

import pytest

from orchestrator.overrides import DoubleSetting, Resolved, flat, layer, value_at


def merged(*layers):
    settings = Resolved({})
    for number, values in enumerate(layers):
        settings = settings.over(layer(values, (str(number),)))
    return settings


def test_mappings_merge_and_all_else_replaces():
    assert merged({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}}).values == {"a": {"b": 1, "c": [3]}}


def test_a_dotted_key_is_the_nested_one_at_any_depth():
    assert merged({"a": {"b.c": 1}}).values == merged({"a.b": {"c": 1}}).values == {"a": {"b": {"c": 1}}}


def test_a_mapping_of_another_kind_replaces_the_one_below_wholly():
    below = {"read": {"kind": "inverse", "gradient": False}}
    assert merged(below, {"read": {"kind": "slot_wise"}}).values == {"read": {"kind": "slot_wise"}}
    assert merged(below, {"read": {"kind": "inverse"}}).values == below
    assert merged(below, {"read": {"sites": []}}).values["read"] == {"kind": "inverse", "gradient": False, "sites": []}


def test_data_sets_are_told_apart_by_name_and_encoders_are_not():
    below = {"data": {"name": "builtin", "seed": 1}, "model": {"encoder": {"name": "tiny", "layers": 1}}}
    above = {"data": {"name": "cdr"}, "model": {"encoder": {"name": "minilm"}}}
    assert merged(below, above).values == {
        "data": {"name": "cdr"},
        "model": {"encoder": {"name": "minilm", "layers": 1}},
    }


def test_a_mapping_over_null_and_null_over_a_mapping_replace():
    assert merged({"read": None}, {"read": {"kind": "inverse"}}).values == {"read": {"kind": "inverse"}}
    assert merged({"read": {"kind": "inverse"}}, {"read": None}).values == {"read": None}


def test_one_mapping_sets_a_thing_once():
    for given in ({"a.b": 1, "a": {"b": 2}}, {"a": 1, "a.b": 2}, {"a.b": 1, "a": 3}):
        with pytest.raises(DoubleSetting):
            layer(given, ())


def test_the_layer_that_set_a_value_last_is_its_origin():
    settings = merged({"a": {"b": 1, "c": 1}}, {"a.b": 2})
    assert settings.origin(("a", "b")) == (("1", "a.b"), ("a", "b"))
    assert settings.origin(("a", "c")) == (("0", "a", "c"), ("a", "c"))
    assert settings.origin(("d",)) == (None, ())


def test_merging_changes_neither_layer():
    below = Resolved({"a": {"b": 1}})
    below.over(layer({"a.b": 2}, ()))
    assert below.values == {"a": {"b": 1}}


def test_leaves_are_named_by_their_dotted_path():
    settings = {"a": {"b": 1, "c": {}}, "d": [1]}
    assert flat(settings) == {"a.b": 1, "a.c": {}, "d": [1]}
    assert value_at(settings, "a.b") == 1
    assert value_at({"a": None}, "a.b.c") is None
