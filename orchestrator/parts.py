"""The settings of many variants, in parts: variants of a grid have most of them in common, so that each distinct part
is kept, written and laid flat once.

A part is a name of the settings with all that lies below it: `data`, `model`, and inside of that `model.memory`.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from orchestrator.identity import canonical
from orchestrator.overrides import value_at

ABSENT = object()
"""Stands for the value of a setting that is not there."""


@dataclass(frozen=True, eq=False)
class Part:
    """One distinct part."""

    path: str
    value: Any
    written: str
    """In canonical JSON."""
    inner: tuple[Part, ...]
    """The parts of a mapping."""

    @cached_property
    def leaves(self) -> dict[str, Any]:
        """Dotted path → value; lists are leaves, and so is an empty mapping."""
        leaves = {} if self.inner else {self.path: self.value}
        for part in self.inner:
            leaves |= part.leaves
        return leaves

    @cached_property
    def paths(self) -> tuple[str, ...]:
        return tuple(self.leaves)

    def at(self, path: str) -> Any:
        """The value at a path that begins with the part's own, which has no dot, or `ABSENT`; below None all is so."""
        if path in self.leaves:
            return self.leaves[path]
        try:
            return value_at({self.path: self.value}, path)
        except KeyError:
            return ABSENT


@dataclass(frozen=True)
class InParts:
    """Settings of one variant."""

    parts: dict[str, Part]
    """The outermost, by name."""
    written: str
    """All of them in canonical JSON."""

    @property
    def settings(self) -> dict[str, Any]:
        return {name: part.value for name, part in self.parts.items()}

    def value(self, path: str) -> Any:
        """The value at a dotted path, or `ABSENT`."""
        part = self.parts.get(path.partition(".")[0])
        return ABSENT if part is None else part.at(path)


class Parts:
    """All distinct parts so far."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Part] = {}

    def of(self, settings: Mapping[str, Any]) -> InParts:
        """Settings in parts; a part that is there already is taken from there."""
        parts = {name: self._part(name, value) for name, value in settings.items()}
        return InParts(parts, _written(parts))

    def _part(self, path: str, value: Any) -> Part:
        # the fastest form of plain values that tells 1, 1.0 and True apart; version 2 has no references to objects, so
        # that equal values are equal bytes
        key = path, marshal.dumps(value, 2)
        part = self._known.get(key)
        if part is None:
            if value and isinstance(value, dict):
                inner = {name: self._part(f"{path}.{name}", below) for name, below in value.items()}
                shared = {name: part.value for name, part in inner.items()}
                part = Part(path, shared, _written(inner), tuple(inner.values()))
            else:
                part = Part(path, value, canonical(value), ())
            self._known[key] = part
        return part


def _written(parts: Mapping[str, Part]) -> str:
    """A mapping in canonical JSON, which sorts its keys."""
    return f"{{{','.join([f'{_quoted(name)}:{parts[name].written}' for name in sorted(parts)])}}}"


@cache
def _quoted(name: str) -> str:
    return canonical(name)
