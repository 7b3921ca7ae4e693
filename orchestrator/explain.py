"""What pydantic found, in words that name the place, what stands there, what is wanted, and what may be meant."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.errors import did_you_mean
from orchestrator.positions import Path_

_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "mapping_type": "a mapping",
    "none_required": "null",
    "finite_number": "a finite number",
    "int_from_float": "a whole number",
}
_BOUNDS = {
    "greater_than": ("gt", "a number above"),
    "greater_than_equal": ("ge", "a number of at least"),
    "less_than": ("lt", "a number below"),
    "less_than_equal": ("le", "a number of at most"),
}


class FaultAt(ValueError):
    """A fault that a validator of a whole part finds in one of its keys, or of its values."""

    def __init__(self, path: Path_, message: str, *, at_key: bool = True) -> None:
        super().__init__(message)
        self.path = path
        self.at_key = at_key


@dataclass(frozen=True)
class Explained:
    """An error at a path of the data that was validated."""

    path: Path_
    message: str
    at_key: bool
    """The key is at fault, not its value."""
    is_unknown: bool = False
    """It is a key that there is not, and all else may be right."""


def explain(
    error: Mapping[str, Any], data: Any, model: type[BaseModel], names: Mapping[str, str] | None = None
) -> Explained:
    """One of `ValidationError.errors()` for `data` against `model`; `names` says in words what a pattern wants."""
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    path, rest = _place(error["loc"], data, model)
    if kind == "extra_forbidden":
        known = _names_at(model, error["loc"][:-1])
        wanted = f", wanted {'one of ' if len(known) > 1 else 'nothing but '}{', '.join(sorted(known))}"
        return Explained(
            path, f"unknown key '{cut(str(path[-1]))}'{did_you_mean(path[-1], known) or wanted}", True, True
        )
    if kind == "missing":
        return Explained(path, f"the key '{rest[-1] if rest else error['loc'][-1]}' is missing", True)
    if kind == "union_tag_invalid":
        field = context["discriminator"].strip("'")
        known = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
        tag = given[field] if isinstance(given, Mapping) else context["tag"]
        found = f"unknown {field} {shown(tag)}" if isinstance(tag, str) else f"found {shown(tag)}"
        return Explained((*path, field), f"{found}, wanted {_one_of(known)}{did_you_mean(tag, known)}", False)
    if kind == "union_tag_not_found":
        field = context["discriminator"].strip("'")
        if not isinstance(given, Mapping):
            return Explained(path, f"found {shown(given)}, wanted a mapping with the key '{field}'", False)
        known = _tags_at(model, error["loc"], field)
        return Explained(path, f"the key '{field}' is missing, wanted {_one_of(known)}", False)
    if kind in ("literal_error", "enum"):
        known = [name.strip().strip("'") for name in context["expected"].replace(" or ", ", ").split(",")]
        return Explained(path, f"found {shown(given)}, wanted {_one_of(known)}{did_you_mean(given, known)}", False)
    if kind in _KINDS:
        return Explained(path, f"found {shown(given)}, wanted {_KINDS[kind]}{_about_quotes(kind, given)}", False)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return Explained(path, f"found {shown(given)}, wanted {words} {context[bound]}", False)
    if kind == "string_pattern_mismatch":
        wanted = (names or {}).get(context["pattern"], f"text that matches {context['pattern']}")
        return Explained(path, f"found {shown(given)}, wanted {wanted}", False)
    if kind in ("string_too_short", "too_short"):
        least = context["min_length"]
        wanted = f"at least {least} values" if least > 1 else "something that is not empty"
        return Explained(path, f"found {shown(given)}, wanted {wanted}", False)
    if kind == "value_error":
        fault = context["error"]
        at_key = isinstance(fault, FaultAt) and fault.at_key
        return Explained((*path, *getattr(fault, "path", ())), str(fault), at_key)
    return Explained(path, f"found {shown(given)}: {error['msg']}", False)


def _about_quotes(kind: str, given: Any) -> str:
    if kind == "string_type" and isinstance(given, bool | int | float):
        return "; quotes make it text"
    if kind in ("int_type", "float_type") and isinstance(given, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?", given):
        return " without quotes"
    return ""


def shown(value: Any) -> str:
    """A value as a person would write it into the file, cut to a line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = repr(value)
    elif isinstance(value, Mapping):
        text = f"a mapping ({', '.join(map(str, list(value)[:4]))})" if value else "an empty mapping"
    elif isinstance(value, list | tuple):
        text = f"a list ({', '.join(map(shown, value[:4]))})" if value else "an empty list"
    else:
        text = repr(value)
    return cut(text)


def cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def listed(names: Iterable[str]) -> str:
    """Names for a message, cut to what a person reads."""
    names = list(names)
    more = [f"… ({len(names)} in all)"] if len(names) > 12 else []
    return ", ".join([*names[:12], *more])


def _one_of(names: Iterable[str]) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def _place(loc: tuple[str | int, ...], data: Any, model: type[BaseModel]) -> tuple[Path_, tuple[str | int, ...]]:
    """The part of a `loc` that exists in the data, and what is left of it.

    A `loc` also holds the tags of unions, which are no keys, even where a key has the same name. A part that is not
    found is skipped, and only a key that is missing altogether is left at the end.
    """
    path: list[str | int] = []
    rest: list[str | int] = []
    found = _members(model)
    for part in loc:
        found, is_tag = _step(found, part)
        if is_tag:
            continue
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            rest.append(part)
            continue
        path.append(part)
        rest.clear()
    return tuple(path), tuple(rest)


def _names_at(model: type[BaseModel], loc: Iterable[str | int]) -> list[str]:
    """The fields of the model that a `loc` leads to."""
    names: list[str] = []
    for found in _types_at(model, loc):
        if isinstance(found, type) and issubclass(found, BaseModel):
            names += [field.alias or name for name, field in found.model_fields.items()]
    return list(dict.fromkeys(names))


def _tags_at(model: type[BaseModel], loc: Iterable[str | int], field: str) -> list[str]:
    """The values of the field that tells the classes at a `loc` apart."""
    tags: list[str] = []
    for found in _types_at(model, loc):
        if isinstance(found, type) and issubclass(found, BaseModel) and field in found.model_fields:
            tags += [str(tag) for tag in get_args(found.model_fields[field].annotation)]
    return tags


def _types_at(model: type[BaseModel], loc: Iterable[str | int]) -> list[Any]:
    found = _members(model)
    for part in loc:
        found, _ = _step(found, part)
    return found


def _step(found: list[Any], part: str | int) -> tuple[list[Any], bool]:
    """The types one part of a `loc` further, and whether that part is the tag of a union."""
    chosen = [kind for kind in found if _has_tag(kind, part)]
    if chosen and sum(_is_model(kind) for kind in found) > 1:
        return chosen, True
    # a tag that stands in no field, as a function tells the union apart, leads nowhere and changes nothing
    return [deeper for kind in found for deeper in _inside(kind, part)] or found, False


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return [annotation]


def _inside(kind: Any, part: str | int) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field: FieldInfo | None = kind.model_fields.get(str(part))
        return _members(field.annotation) if field is not None else []
    if get_origin(kind) is dict:
        return _members(get_args(kind)[1])
    if get_origin(kind) in (list, tuple) and isinstance(part, int):
        return _members(get_args(kind)[0])
    return []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _has_tag(kind: Any, tag: str | int) -> bool:
    return _is_model(kind) and any(
        get_origin(field.annotation) is Literal and tag in get_args(field.annotation)
        for name, field in kind.model_fields.items()
        if name in ("kind", "name")
    )
