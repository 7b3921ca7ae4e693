"""Good studies are accepted; of a bad one all that is wrong is told at once, each fault with its place."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from orchestrator.errors import Exit
from orchestrator.schema import Study, load
from tests.orchestrator.corpus import BAD, GOOD, difference, golden, stale, validated

REFRESH = "python -m tests.orchestrator.corpus --write, once each line has been read"
LINE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+)(?P<path> .+?)?: (?P<message>.+)")


def test_there_are_good_and_bad_studies_enough():
    assert len(GOOD) >= 20
    assert len(BAD) >= 60


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_study_is_accepted(path):
    code, output, error = validated(path)
    assert (code, error) == (Exit.DONE, "")
    assert output.startswith(f"{path.name}: {path.stem}, ")


@pytest.mark.parametrize("path", [*GOOD, *(path for path in BAD if path.stat().st_size)], ids=lambda path: path.stem)
def test_a_study_says_first_what_it_shows(path):
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    assert "# " in lines[0] or lines[0].startswith("%YAML") and "# " in lines[1] or "\0" in lines[0]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_study_is_refused_as_in_its_golden_file(path):
    code, output, error = validated(path)
    assert (code, output) == (Exit.INVALID, "")
    assert not (shown := difference(path, error)), f"{shown}\n\nIf this is better: {REFRESH}"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_line_of_a_golden_file_has_a_place_in_the_study_and_a_message(path):
    lines = golden(path).read_text(encoding="utf-8").splitlines()
    problems = lines[:-1] if len(lines) > 1 else lines
    if len(lines) > 1:
        assert lines[-1] == f"{len(problems)} problems"
    # the last line end begins a line, on which what is missing is told
    content = path.read_bytes().decode("utf-8", errors="replace").split("\n")
    for line in problems:
        match = LINE.fullmatch(line)
        assert match is not None and match["file"] == path.name
        assert 1 <= int(match["line"]) <= max(len(content), 1)
        assert 1 <= int(match["column"]) <= len(content[int(match["line"]) - 1]) + 1
        assert len(line) <= 400


def test_every_golden_file_belongs_to_a_study():
    assert list(stale()) == []


def test_the_good_studies_use_every_key_of_the_language():
    used: set[tuple[str, str]] = set()
    for path in GOOD:
        note_used(load(path).study, used)
    unused = sorted(keys(Study, set()) - used)
    assert not unused, unused


def note_used(part: object, used: set[tuple[str, str]]) -> None:
    """Adds class and name of every field that is set in a part of a study, and in the parts of it."""
    if isinstance(part, BaseModel):
        used.update((defining(type(part), name), name) for name in part.model_fields_set)
        for name in type(part).model_fields:
            note_used(getattr(part, name), used)
    elif isinstance(part, dict | list | tuple):
        for inner in part.values() if isinstance(part, dict) else part:
            note_used(inner, used)


def keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[tuple[str, str]]:
    """Class and name of every field of a model and of those in it."""
    seen.add(model)
    found = {(defining(model, name), name) for name in model.model_fields}
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            if inner not in seen:
                found |= keys(inner, seen)
    return found


def defining(model: type[BaseModel], name: str) -> str:
    """The class of a field, which others may inherit."""
    return next(base.__name__ for base in reversed(model.__mro__) if name in getattr(base, "__annotations__", {}))


def models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in models_in(argument)]
