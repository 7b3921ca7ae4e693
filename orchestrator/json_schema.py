"""The JSON Schema of a study file, by which editors complete, explain and check one while it is written.

It is made from the classes that read a study, and from the settings of our models. As far as a schema can tell, it
takes what `orchestrate validate` takes: what it cannot tell (names that stand elsewhere in the file, rules between
layers of settings) is listed and tested in `tests/orchestrator/test_json_schema.py`.

A layer of settings may leave out any field and may name any setting by a dotted key, so each part of the settings has,
beside its own fields, all dotted paths below them.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from types import ModuleType
from typing import Any

import model.settings
import orchestrator.schema
import reports.settings
from model.settings import ExperimentSettings, SelectionSettings
from orchestrator.schema import COMPARING, FULL, NAME, PILOT, RESERVED, SECTIONS, Study
from reports.settings import METRICS

_EMPTY = {"type": ["null", "object", "array"], "maxProperties": 0, "maxItems": 0}
_WORDS, _NULL = {"type": "string"}, {"type": "null"}
_OVERRIDES = {"$ref": "#/$defs/Overrides"}
_LABEL = {"minLength": 1}
"""Of a key that names a variant."""


def json_schema() -> dict[str, Any]:
    """The schema, in the draft that editors read."""
    schema, settings = Study.model_json_schema(), ExperimentSettings.model_json_schema()
    parts = _explained(settings.pop("$defs"), model.settings)
    # the selection is the study's, in a section of its own
    parts["TrainingSettings"]["properties"].pop("select")
    del parts["SelectionSettings"]
    root = {**settings, "title": "Overrides", "description": "Settings of our models: what differs from those below."}
    layers = _layers({"Overrides": root, **parts})
    definitions = _explained(_explained(_closed(schema.pop("$defs")), orchestrator.schema), reports.settings)
    for name, rules in _rules_of_parts().items():
        definitions[name] = {**definitions[name], **rules}
    study = _explained({"Study": _closed(schema)}, orchestrator.schema)["Study"]
    properties = study["properties"]
    properties["study"]["not"] = {"enum": list(RESERVED)}
    properties["budgets"] = _budgets()
    for name in SECTIONS:
        properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    return _plain(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **study,
            "allOf": [_of_trainables(), _of_searches(), *_of_reports()],
            "$defs": {**definitions, **layers, **_factors(layers), "OurModels": _our_models()},
        }
    )


# ------------------------------------------------------------------------------------------------- rules between keys


def _rules_of_parts() -> dict[str, Any]:
    """What the classes of a study check beside their fields."""
    above_0 = {
        "if": {"properties": {"log": {"const": True}}, "required": ["log"]},
        "then": {"properties": {"low": {"exclusiveMinimum": 0}}},
    }
    metrics = {"metrics": {"minItems": 1, "uniqueItems": True}}
    others = {"metric_info": {"propertyNames": {"not": {"enum": list(METRICS)}}}}
    ours = {"properties": {"metric": {"enum": list(METRICS)}}}
    return {
        "Select": {
            "if": {"properties": {"on": {"const": "test"}}, "required": ["on"]},
            "then": {"properties": {"allow_test": {"const": True}}, "required": ["allow_test"]},
        },
        "UniformSpace": above_0,
        "IntegerSpace": above_0,
        "ChoiceSpace": {"allOf": [{"properties": {"values": {"uniqueItems": True}}}]},
        "Published": {
            "anyOf": [
                {
                    "properties": {"variant": _WORDS, "system": _NULL, "dataset": _NULL, "group": _NULL},
                    "required": ["variant"],
                },
                {"properties": {"system": _WORDS, "variant": _NULL}, "required": ["system"]},
            ],
            "if": ours,
            "then": {"properties": {"value": {"minimum": 0, "maximum": 100}}},
        },
        "ComparisonSettings": {"allOf": [{"properties": {**metrics, **others}}]},
        "SweepSettings": {"allOf": [{"properties": {**metrics, **others}}]},
        "ByDatasetSettings": {"allOf": [{"properties": others}]},
    }


def _budgets() -> dict[str, Any]:
    """The whole protocol cuts nothing; any other budget says what."""
    budget = {"$ref": "#/$defs/Budget"}
    cut = dict.fromkeys(("note", "seeds", "settings", "grid"), _EMPTY)
    return {
        "type": "object",
        "propertyNames": {"pattern": NAME, "not": {"const": PILOT}},
        "properties": {FULL: {"allOf": [budget], "properties": cut}},
        "additionalProperties": {"allOf": [budget], "properties": {"note": _WORDS}, "required": ["note"]},
    }


def _of_trainables() -> dict[str, Any]:
    """Settings and metrics are those of our models, but for a trainable of one's own."""
    other = {"type": "object", "properties": {"kind": {"not": {"const": "model"}}}, "required": ["kind"]}
    named = {"type": "object", "required": ["metric"]}
    return {
        "if": {"properties": {"trainable": other}, "required": ["trainable"]},
        "then": {"properties": {"select": named}, "required": ["select"]},
        "else": {"$ref": "#/$defs/OurModels"},
    }


def _of_searches() -> dict[str, Any]:
    """A search compares nothing, trains each setting once, and is not led by test scores."""
    once = {"properties": {"seeds": {"anyOf": [{"enum": [1, None]}, {"type": "array", "maxItems": 1}]}}}
    properties = dict.fromkeys(COMPARING, _EMPTY) | once["properties"]
    properties["select"] = {"properties": {"on": {"const": "dev"}}}
    properties["budgets"] = {"additionalProperties": once}
    return {
        "if": {"properties": {"search": {"type": "object"}}, "required": ["search"]},
        "then": {"properties": properties},
    }


def _of_reports() -> list[dict[str, Any]]:
    """A published number of a system that is not run has its place only where the report has one."""

    def where(report: dict[str, Any], number: dict[str, Any]) -> dict[str, Any]:
        of_system = {"if": {"properties": {"system": _WORDS}, "required": ["system"]}, "then": number}
        return {
            "if": {"properties": {"report": report}, "required": ["report"]},
            "then": {"properties": {"published": {"items": of_system}}},
        }

    def kind(name: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"kind": {"const": name}}, "required": ["kind"]}

    grouped = {"properties": {"groups": _WORDS}, "required": ["groups"]}
    placed = {"properties": {"dataset": _WORDS}, "required": ["dataset"]}
    in_group = {"properties": {"group": _WORDS}, "required": ["group"]}
    unplaced = {"properties": {"dataset": _NULL, "group": _NULL}}
    return [
        where(kind("sweep"), {"not": {}}),
        where(kind("by_dataset"), placed),
        where({"allOf": [kind("by_dataset"), grouped]}, in_group),
        where({"allOf": [kind("by_dataset"), {"not": grouped}]}, {"properties": {"group": _NULL}}),
        where(kind("comparison"), unplaced),
        {
            "if": {"required": ["report"], "properties": {"report": {"type": "object"}}},
            "else": {"properties": {"published": {"items": unplaced}}},
        },
    ]


def _our_models() -> dict[str, Any]:
    """What a study says of settings and metrics, where it trains our models."""
    layer = {"properties": {"settings": _OVERRIDES}}
    levels = {"additionalProperties": {"additionalProperties": _OVERRIDES}}
    metric = {"enum": list(METRICS)}
    selected = SelectionSettings.model_json_schema()["properties"]["metric"]["enum"]
    return {
        "properties": {
            "settings": {"anyOf": [_OVERRIDES, {"type": "null"}]},
            "baseline": layer,
            "variants": {"additionalProperties": layer},
            "ablate": {"$ref": "#/$defs/Ablations"},
            "grid": {"$ref": "#/$defs/Grid"},
            "zip": {"$ref": "#/$defs/Zip"},
            "search": {"properties": {"space": {"$ref": "#/$defs/Spaces"}}},
            "budgets": {"additionalProperties": {"properties": {**layer["properties"], "grid": levels}}},
            "select": {"properties": {"metric": {"enum": selected}}},
            "report": {
                "properties": {"metrics": {"items": metric}, "metric": metric, "metric_info": {"maxProperties": 0}}
            },
            "published": {"items": {"properties": {"metric": metric}}},
        }
    }


# ------------------------------------------------------------------------------------------------------------- settings


def _layers(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts of the settings as layers of them."""
    layers = {}
    for name, part in parts.items():
        properties = {key: _layer(value) for key, value in part["properties"].items()}
        for value in properties.values():
            if "enum" in value.get("items", {}):
                # names from a choice, of which the settings want at least one and each once
                value |= {"minItems": 1, "uniqueItems": True}
        for path, targets in _paths(name, parts).items():
            if "." in path:
                properties[path] = _any_of(targets, parts)
        layers[name] = {**part, "properties": properties, "additionalProperties": False}
        layers[name].pop("required", None)
    return layers


def _layer(value: Any) -> Any:
    """A choice by `kind` as `anyOf`, since a layer that names no `kind` fits several of its members."""
    if isinstance(value, list):
        return [_layer(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {"anyOf" if key == "oneOf" else key: _layer(item) for key, item in value.items() if key != "discriminator"}


_Targets = list[tuple[str, str]]
"""Parts and fields of them."""


def _paths(name: str, parts: dict[str, Any]) -> dict[str, _Targets]:
    """Dotted paths below a part, and the fields that each may lead to, as parts are chosen by their kind."""
    paths: dict[str, _Targets] = {}
    for key, value in parts[name]["properties"].items():
        paths.setdefault(key, []).append((name, key))
        for member in _members(value):
            for path, targets in _paths(member, parts).items():
                known = paths.setdefault(f"{key}.{path}", [])
                known += [target for target in targets if target not in known]
    return paths


def _members(value: Any) -> list[str]:
    """The parts that a field may hold."""
    if "$ref" in value:
        return [value["$ref"].rpartition("/")[2]]
    return [name for choice in (*value.get("anyOf", ()), *value.get("oneOf", ())) for name in _members(choice)]


def _any_of(targets: _Targets, parts: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, key in targets:
        of = parts[name]["properties"][key]
        # fields that say the same of themselves are one
        said = {word: value for word, value in of.items() if word not in ("default", "description")}
        found.setdefault(json.dumps(said, sort_keys=True), (name, key, of))
    if all("const" in of for *_, of in found.values()):
        return {"enum": [of["const"] for *_, of in found.values()]}
    refs = [{"$ref": f"#/$defs/{name}/properties/{key}"} for name, key, _ in found.values()]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def _factors(layers: dict[str, Any]) -> dict[str, Any]:
    """What varies, by the dotted paths of the settings. The name of a factor with labelled settings is free."""
    values = {
        path: value if "$ref" in value or "enum" in value else {"$ref": f"#/$defs/Overrides/properties/{path}"}
        for path, value in layers["Overrides"]["properties"].items()
    }
    return {
        "Ablations": {
            "properties": {
                path: {"items": value, "additionalProperties": value, "propertyNames": _LABEL}
                for path, value in values.items()
            },
            "additionalProperties": False,
        },
        "Grid": {
            "properties": {
                path: {"items": value, "additionalProperties": _OVERRIDES} for path, value in values.items()
            },
            "additionalProperties": {"type": "object", "additionalProperties": _OVERRIDES},
        },
        "Zip": {
            "properties": {path: {"items": value} for path, value in values.items()},
            "additionalProperties": False,
        },
        "Spaces": {
            "properties": {
                path: {"properties": {"low": value, "high": value, "values": {"items": value}}}
                for path, value in values.items()
            },
            "additionalProperties": False,
        },
    }


# ----------------------------------------------------------------------------------------------------------- tidying up


def _explained(definitions: dict[str, Any], module: ModuleType) -> dict[str, Any]:
    """Definitions with what the classes of a module say of their fields, for those that are defined there."""
    said = _said_of_fields(module)
    for name, definition in definitions.items():
        of = getattr(module, name, None)
        for base in of.__mro__ if isinstance(of, type) else ():
            for field, words in said.get(base.__name__, {}).items():
                if field in definition.get("properties", {}):
                    definition["properties"][field].setdefault("description", words)
    return definitions


def _said_of_fields(module: ModuleType) -> dict[str, dict[str, str]]:
    """The text below each field, by class."""
    said: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            for field, words in itertools.pairwise(node.body):
                if isinstance(field, ast.AnnAssign) and isinstance(words, ast.Expr):
                    text = inspect.cleandoc(ast.literal_eval(words.value))
                    said.setdefault(node.name, {})[ast.unparse(field.target)] = " ".join(text.split())
    return said


def _closed(part: Any) -> Any:
    """Keys of a mapping match its pattern, and what is chosen by a key has that key."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: _closed(value) for key, value in part.items()}
    if "patternProperties" in part:
        made.setdefault("additionalProperties", False)
    if isinstance(choice := part.get("discriminator"), dict):
        made["required"] = [choice["propertyName"]]
    return made


def _plain(part: Any) -> Any:
    """Without what pydantic adds and no editor needs: titles made of names, defaults of whole parts."""
    if isinstance(part, list):
        return [_plain(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {}
    for key, value in part.items():
        if key in ("properties", "patternProperties", "$defs"):
            made[key] = {name: _plain(inner) for name, inner in value.items()}
        elif key in ("enum", "const", "default"):
            made |= {} if isinstance(value, dict) else {key: value}
        elif key not in ("title", "discriminator"):
            made[key] = _plain(value)
    return made
