"""The settings of many variants, in parts: variants of a grid have most of them in common, so that each distinct part
is kept, written and laid flat once.

A part is one of the settings' outermost names with all that lies below it: `data`, `model`, `training`.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.identity import canonical
from orchestrator.overrides import flat, value_at

ABSENT = object()
"""Stands for the value of a setting that is not there."""


@dataclass(frozen=True, eq=False)
class Part:
    """One distinct part."""

    name: str
    value: Any

    @cached_property
    def entry(self) -> str:
        """Its name and value in canonical JSON."""
        return f"{canonical(self.name)}:{canonical(self.value)}"

    @cached_property
    def leaves(self) -> dict[str, Any]:
        """Dotted path → value, with the part's name in front."""
        return flat({self.name: self.value})

    @cached_property
    def paths(self) -> tuple[str, ...]:
        return tuple(self.leaves)

    def at(self, path: str) -> Any:
        """The value at a dotted path that begins with the part's name, or `ABSENT`; below what is None all is None."""
        if path in self.leaves:
            return self.leaves[path]
        try:
            return value_at({self.name: self.value}, path)
        except KeyError:
            return ABSENT


@dataclass(frozen=True)
class InParts:
    """Settings of one variant."""

    parts: dict[str, Part]
    """By name."""
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
        parts = {}
        for name, value in settings.items():
            # the fastest form of plain values that tells 1, 1.0 and True apart; version 2 has no references to
            # objects, so that equal values are equal bytes
            key = name, marshal.dumps(value, 2)
            part = self._known.get(key)
            if part is None:
                part = self._known[key] = Part(name, value)
            parts[name] = part
        # canonical JSON sorts its keys
        return InParts(parts, f"{{{','.join([parts[name].entry for name in sorted(parts)])}}}")
